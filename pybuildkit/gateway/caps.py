"""What the daemon's gateway can do, and what its graphs may use (V62, V74, V75)."""

from __future__ import annotations

from collections.abc import Iterable

from pybuildkit.errors import Unsupported
from pybuildkit.gateway._proto import Message
from pybuildkit.llb.caps import Capability

__all__ = [
    "ATTESTATIONS",
    "EVALUATE",
    "EXEC",
    "EXEC_EXTRA_HOSTS",
    "EXEC_FILESYSTEM",
    "EXEC_SECRET_ENV",
    "EXEC_SIGNALS",
    "FRONTEND_INPUTS",
    "IMPORT_CACHES",
    "READ_DIR",
    "READ_FILE",
    "REFERENCE_OUTPUT",
    "RESOLVE_IMAGE",
    "RESOLVE_IMAGE_MODE",
    "RETURN",
    "RETURN_MAP",
    "SOLVE",
    "SOLVE_EVALUATE",
    "SOURCE_ATTESTATIONS",
    "SOURCE_HTTP_CHECKSUM",
    "SOURCE_META",
    "STAT_FILE",
    "WARNINGS",
    "GatewayCaps",
    "decode_caps",
]

SOLVE = "solve.base"
RESOLVE_IMAGE = "resolveimage"
RESOLVE_IMAGE_MODE = "resolveimage.resolvemode"
READ_FILE = "readfile"
RETURN = "return"
RETURN_MAP = "returnmap"
READ_DIR = "readdir"
STAT_FILE = "statfile"
IMPORT_CACHES = "importcaches"
REFERENCE_OUTPUT = "reference.output"
FRONTEND_INPUTS = "frontend.inputs"
EXEC = "gateway.exec"
EXEC_EXTRA_HOSTS = "gateway.exec.extrahosts"
EXEC_SECRET_ENV = "gateway.exec.secretenv"  # noqa: S105 - a capability
EXEC_SIGNALS = "gateway.exec.signals"
EXEC_FILESYSTEM = "gateway.exec.filesystem"
SOLVE_EVALUATE = "gateway.solve.evaluate"
EVALUATE = "gateway.evaluate"
WARNINGS = "gateway.warnings"
ATTESTATIONS = "reference.attestations"
SOURCE_META = "source.metaresolver"
SOURCE_ATTESTATIONS = "source.metaresolver.image.attestations"
SOURCE_HTTP_CHECKSUM = "source.metaresolver.http.checksumrequest"

# V62: what a daemon could do before there were capabilities; such a one announces none.
_FIRST_GATEWAY = (SOLVE, "solve.inlinereturn", RESOLVE_IMAGE, READ_FILE)
_FIRST_LLB = """
source.image source.local source.local.unique source.local.sessionid source.local.includepatterns
source.local.followpaths source.local.excludepatterns source.local.sharedkeyhint source.git source.git.keepgitdir
source.git.fullurl source.http source.http.checksum source.http.perm soruce.http.uidgid source.buildop.llbfilename
exec.meta.base exec.meta.proxyenv exec.mount.bind exec.mount.cache exec.mount.cache.sharing exec.mount.selector
exec.mount.tmpfs exec.mount.secret constraints platform meta.ignorecache meta.description meta.exportcache
"""


class GatewayCaps:
    """Capabilities as the daemon announced them, of the gateway or of graphs.

    Unlike ``llb.CapSet`` it believes the daemon: a frontend's graph may use what this library has no name for.

    Args:
        capabilities: what was announced; a text is the id of an enabled one.
    """

    __slots__ = ("_by_id",)

    def __init__(self, capabilities: Iterable[Capability | str]) -> None:
        made = (cap if isinstance(cap, Capability) else Capability(cap) for cap in capabilities)
        self._by_id = {cap.id: cap for cap in made}

    def __contains__(self, name: str) -> bool:
        """Whether it is announced and enabled."""
        cap = self._by_id.get(name)
        return cap is not None and cap.enabled

    def __len__(self) -> int:
        return len(self._by_id)

    def require(self, name: str, what: str) -> None:
        """Do nothing when the daemon can do it.

        Args:
            name: the capability's id.
            what: what needs it, for the error.

        Raises:
            Unsupported: the daemon can not.
        """
        cap = self._by_id.get(name)
        if cap is None:
            raise Unsupported(
                f"{what} needs the capability {name}, which this daemon does not have; update buildkitd",
                capability=name,
            )
        if not cap.enabled:
            reason = f": {cap.message}" if cap.message else ""
            instead = f"; use {cap.alternative} instead" if cap.alternative else ""
            raise Unsupported(
                f"{what} needs the capability {name}, which is disabled in this daemon{reason}{instead}",
                capability=name,
            )

    def __repr__(self) -> str:
        return f"<GatewayCaps of {len(self._by_id)}>"


def decode_caps(announced: list[Message], *, llb: bool) -> GatewayCaps:
    """The ``APICap`` messages of a ``PongResponse``; none at all means a daemon older than capabilities."""
    if not announced:
        return GatewayCaps(_FIRST_LLB.split() if llb else _FIRST_GATEWAY)
    return GatewayCaps(
        Capability(m.text(1), m.flag(2), m.flag(3), m.text(4), m.text(5), m.text(6)) for m in announced
    )

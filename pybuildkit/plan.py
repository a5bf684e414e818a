"""From what a user asks for to what a build needs: the request, the session's services, and what is done at the end."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from pybuildkit._values import dataclass, field
from pybuildkit.control.solve import SOLVE, CacheEntry, ExporterEntry, SolveRequest
from pybuildkit.errors import BuildKitError, ConnectionLost, RegistryAuthError, RPCError
from pybuildkit.services import Offers, SideServices
from pybuildkit.session.filesync import FileSync
from pybuildkit.session.offer import Offer, new_id
from pybuildkit.session.secrets import SecretsService

if TYPE_CHECKING:
    from pathlib import Path

    from pybuildkit.caches import Cache
    from pybuildkit.content.solve import SolveContent
    from pybuildkit.fsutil import FS
    from pybuildkit.lateoutputs import ChooseOutputs, OnExported
    from pybuildkit.outputs import Output
    from pybuildkit.progress import Progress
    from pybuildkit.rpc.channel import Channel
    from pybuildkit.secrets import Secret
    from pybuildkit.session.calls import Service
    from pybuildkit.session.exporter import ExporterService
    from pybuildkit.session.filesend import FileSend
    from pybuildkit.session.session import Session
    from pybuildkit.targets import DirectoryTarget, FileTarget

__all__ = ["Ingredients", "SolvePlan", "shared_key"]


_CACHE_IMPORTS = "cache-imports"

Caches: TypeAlias = "tuple[tuple[Cache, dict[str, str]], ...]"


@dataclass(slots=True)
class Ingredients:
    """What a build is made of, options already turned into values; the planners fill it, ``SolvePlan`` uses it.

    Attributes:
        ref: the build's id, a new one when empty.
        definition: an encoded graph, None with a frontend.
        frontend: the frontend's name, empty with a graph.
        attrs: what the frontend is told.
        inputs: encoded graphs for it.
        locals: trees that the daemon may ask for.
        secrets: by id.
        outputs: in order.
        late_outputs: chooses more outputs when the result is there.
        on_exported: told when everything is exported.
        names: of the image, for those.
        cache_from: caches to import, each with its attributes.
        cache_to: caches to export to, likewise.
        oci_layouts: directories that sources may name, by store id.
        entitlements: granted.
        source_policy: encoded, None for none.
        shared_key: what names the synced trees (T19); made from the trees themselves when empty.
        offers: what else the session offers.
        growing: whether more trees may come while the build runs, into ``locals``.
    """

    ref: str = ""
    definition: bytes | None = None
    frontend: str = ""
    attrs: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, bytes] = field(default_factory=dict)
    locals: dict[str, FS] = field(default_factory=dict)
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    late_outputs: ChooseOutputs | None = None
    on_exported: OnExported | None = None
    names: tuple[str, ...] = ()
    cache_from: Caches = ()
    cache_to: Caches = ()
    oci_layouts: dict[str, Path] = field(default_factory=dict)
    entitlements: tuple[str, ...] = ()
    source_policy: bytes | None = None
    shared_key: str = ""
    internal: bool = False
    proxy_network: bool = False
    compatibility_version: int = 0
    offers: Offers = field(default_factory=Offers)
    growing: bool = False


class SolvePlan:
    """One build, ready to run: see ``pybuildkit.build.Plan``."""

    def __init__(self, made_of: Ingredients) -> None:
        self._made_of = made_of
        self.notice: Callable[[str], object] | None = None
        self._files = _files_for(made_of)
        self._content = _content_for(made_of)
        self._sync = FileSync(made_of.locals)
        self._side = SideServices(made_of.offers, self._tell)
        self._exporter = self._exporter_service()
        self._secrets = SecretsService(
            {name: _source(name, secret) for name, secret in made_of.secrets.items()}
        )
        self.offer = Offer(self._services(), shared_key=shared_key(made_of))
        self._session: Session | None = None
        attrs = dict(made_of.attrs)
        imports = self._content.imports if self._content else ()
        self._hidden = _hidden_attrs(made_of, imports)
        if made_of.frontend and imports:
            attrs.setdefault(_CACHE_IMPORTS, _imports_json(imports))
        self.request = SolveRequest(
            ref=made_of.ref or new_id(),
            session=self.offer.id,
            definition=made_of.definition,
            frontend=made_of.frontend,
            frontend_attrs=attrs,
            frontend_inputs=made_of.inputs,
            exporters=tuple(ExporterEntry(o.exporter, o.exporter_attrs()) for o in made_of.outputs),
            cache_imports=imports,
            cache_exports=self._content.exports if self._content else (),
            entitlements=made_of.entitlements,
            internal=made_of.internal,
            source_policy=made_of.source_policy,
            source_policy_session=self.offer.id if made_of.offers.check is not None else "",
            enable_session_exporter=self._exporter is not None,
            compatibility_version=made_of.compatibility_version,
            proxy_network=made_of.proxy_network,
        )

    @property
    def session(self) -> Session:
        """The session, for an event loop."""
        if self._session is None:
            from pybuildkit.session.session import Session

            self._session = Session.of(self.offer)
        return self._session

    @property
    def hides(self) -> bool:
        """The build's history must not get all that the frontend is told (T20): only ``solve`` sees to that."""
        return bool(self._hidden)

    @property
    def secrets(self) -> SecretsService:
        """The secrets that the session serves."""
        return self._secrets

    @property
    def trees(self) -> dict[str, FS]:
        """The trees that the session serves; a ``growing`` build may add some."""
        return self._made_of.locals

    def _services(self) -> Iterable[Service]:
        """Only what can be of use: what is not offered the daemon does not ask for (S3)."""
        if self._made_of.locals or self._made_of.growing:
            yield self._sync
        yield self._secrets
        if self._files is not None:
            yield self._files
        if self._content is not None and (self._content.stores or self._made_of.late_outputs is not None):
            from pybuildkit.session.content import ContentService

            yield ContentService(self._content.stores)
        yield from self._side
        if self._exporter is not None:
            yield self._exporter

    def _exporter_service(self) -> ExporterService | None:
        """What the daemon asks when the result is there, and when it is exported."""
        made_of = self._made_of
        if made_of.late_outputs is None and made_of.on_exported is None:
            return None
        from functools import partial

        from pybuildkit.lateoutputs import LateOutputs, call_user
        from pybuildkit.session.exporter import ExporterService

        find = finalize = None
        if made_of.late_outputs is not None:
            assert self._files is not None
            assert self._content is not None
            late = LateOutputs(
                made_of.late_outputs, made_of.names, made_of.outputs, self._files, self._content
            )
            find = late.find
        if made_of.on_exported is not None:
            finalize = partial(call_user, made_of.on_exported)
        return ExporterService(find, finalize)

    def _tell(self, line: str) -> None:
        if self.notice is not None:
            self.notice(line)

    async def solve(self, channel: Channel) -> bytes:
        """Have the request solved; see ``pybuildkit.build.Plan``."""
        if not self._hidden:
            return await channel.unary(SOLVE, self.request.encode())
        from pybuildkit.gateway.discreet import solve_discreetly

        return await solve_discreetly(channel, self.request, self._hidden)

    async def prepare(self) -> None:
        """Find out what would fail at the end, before anything is built."""
        if self._touches_disk:
            from anyio import to_thread

            await to_thread.run_sync(self.ready)

    async def finish(self, response: dict[str, str]) -> dict[str, str]:
        """Put the results in their places."""
        if not self._touches_disk:
            return response
        from anyio import to_thread

        return await to_thread.run_sync(self.complete, response)

    async def abandon(self) -> None:
        """Leave as little as can be of a build that went badly; does nothing after ``finish``."""
        if self._touches_disk:
            from anyio import to_thread

            await to_thread.run_sync(self.discard)

    @property
    def _touches_disk(self) -> bool:
        return self._files is not None or self._content is not None

    # The same, blocking on the disk.

    def ready(self) -> None:
        """See ``prepare``."""
        if self._files is not None:
            self._files.prepare()
        if self._content is not None:
            self._content.hold()

    def complete(self, response: dict[str, str]) -> dict[str, str]:
        """See ``finish``."""
        if self._files is not None:
            self._files.commit()
        if self._content is not None:
            self._content.finish(response)
        return response

    def discard(self) -> None:
        """See ``abandon``."""
        if self._files is not None:
            self._files.abort()
        if self._content is not None:
            self._content.close()

    def explain(self, error: BuildKitError, progress: Progress) -> BuildKitError:
        """The error that the caller sees: what the daemon said, with what is known on this side."""
        if not isinstance(error, RPCError) or isinstance(error, ConnectionLost):
            return error
        for failed in self._sync.failed.values():
            # The daemon only repeats what it was told; this one has the path.
            if str(failed) in error.message:
                return failed
        from pybuildkit.builderrors import BuildFacts, build_error

        facts = BuildFacts(
            ref=self.request.ref,
            frontend=self.request.frontend,
            secrets=tuple(self._made_of.secrets),
            ssh=tuple(self._made_of.offers.agents),
            locals=tuple(self._made_of.locals),
            missing_secrets=self._secrets.missing,
            missing_ssh=self._side.missing_ssh,
            failed_registry=self._side.failed_registry(error.message),
            missing_locals=self._sync.missing,
        )
        found = build_error(error.code, error.message, error.details, facts=facts, progress=progress)
        if isinstance(found, RegistryAuthError):
            self._side.registry_refused()
        if self._exporter is not None and self._exporter.failed is not None:
            found.__cause__ = self._exporter.failed
        return found


def _source(name: str, secret: Secret) -> Callable[[], Awaitable[bytes]]:
    return lambda: secret.resolve(name)


# A module is imported by the first build that has a use for it: most builds have for few of them.


def _files_for(made_of: Ingredients) -> FileSend | None:
    """What receives the outputs that come to this side, when there are some, or may be."""
    if made_of.late_outputs is None and all(output.target is None for output in made_of.outputs):
        return None
    from pybuildkit.session.filesend import FileSend

    return FileSend(_stream_targets(made_of.outputs))


def _content_for(made_of: Ingredients) -> SolveContent | None:
    """The content stores of the build, when there is a use for them."""
    image = _store_directory(made_of.outputs)
    late = made_of.late_outputs is not None
    if not (made_of.cache_from or made_of.cache_to or made_of.oci_layouts or image or late):
        return None
    from pybuildkit.content.solve import SolveContent

    return SolveContent(
        imports=_cache_entries(made_of.cache_from),
        exports=_cache_entries(made_of.cache_to),
        layouts=made_of.oci_layouts,
        image=image,
    )


def _stream_targets(outputs: Sequence[Output]) -> dict[int, DirectoryTarget | FileTarget]:
    """Targets that come as streams, by the exporter's place in the request (S66)."""
    from pybuildkit.targets import DirectoryTarget, FileTarget

    found = {index: output.target for index, output in enumerate(outputs)}
    return {index: t for index, t in found.items() if isinstance(t, DirectoryTarget | FileTarget)}


def _store_directory(outputs: Sequence[Output]) -> Path | None:
    """Where an image goes blob by blob; there is one at most, ``resolve_outputs`` has seen to that (S67)."""
    if not outputs:
        return None
    from pybuildkit.targets import StoreTarget

    found = [output.target for output in outputs]
    return next((target.path for target in found if isinstance(target, StoreTarget)), None)


def _cache_entries(caches: Caches) -> tuple[CacheEntry, ...]:
    return tuple(CacheEntry(cache.type, attrs) for cache, attrs in caches)


def _hidden_attrs(made_of: Ingredients, imports: tuple[CacheEntry, ...]) -> frozenset[str]:
    """The attributes of a frontend that may hold credentials, and so must not get into the build's history (T20)."""
    if not made_of.frontend or made_of.internal:
        return frozenset()
    if _CACHE_IMPORTS in made_of.attrs:
        return frozenset([_CACHE_IMPORTS])
    if not imports:
        return frozenset()
    from pybuildkit._cache import holds_credentials

    if any(holds_credentials(entry.attrs) for entry in imports):
        return frozenset([_CACHE_IMPORTS])
    return frozenset()


def _imports_json(entries: tuple[CacheEntry, ...]) -> str:
    """The imports as frontends get them (V39)."""
    import json

    return json.dumps([{"Type": e.type, "Attrs": dict(e.attrs)} for e in entries], separators=(",", ":"))


def shared_key(made_of: Ingredients) -> str:
    """The key of a build's session: the daemon syncs a tree into what it has of the last one with its name and key (T19).

    So it must tell machines and directories apart. Frontends name their main tree ``context``; the others follow it.
    """
    trees = made_of.locals
    if made_of.shared_key or not (trees or made_of.growing):
        return made_of.shared_key
    main = {"context": trees["context"]} if "context" in trees else trees
    parts = [_machine(), *(f"{name}={main[name].identity()}" for name in sorted(main))]
    try:  # the part of hashlib that needs no OpenSSL, which takes longer to load than all else that a build imports
        from _blake2 import blake2b
    except ImportError:
        from hashlib import blake2b
    return blake2b("\0".join(parts).encode(errors="surrogateescape"), digest_size=20).hexdigest()


def _machine() -> str:
    """What tells this machine from others: its id where it has one, else its name."""
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is a matter of start-up time
                found = file.read().strip()
        except (OSError, UnicodeDecodeError):
            continue
        if found:
            return f"{found}:{os.getuid()}"
    return f"{socket.gethostname()}:{os.getuid()}"

"""Git repositories as sources (L6, L7, L37 to L41)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias, Unpack

from pybuildkit._values import dataclass
from pybuildkit.errors import DefinitionError
from pybuildkit.llb._caps import Cap
from pybuildkit.llb._encode import check_bool, check_text, text, texts
from pybuildkit.llb._frames import capture
from pybuildkit.llb._paths import join
from pybuildkit.llb.giturl import GitURL
from pybuildkit.llb.nodes import SourceNode
from pybuildkit.llb.options import PlatformOptions, constraints
from pybuildkit.llb.sources import state_of, store_attrs
from pybuildkit.llb.state import State

__all__ = ["GitSignature", "MTime", "git"]

MTime: TypeAlias = Literal["checkout", "commit"]
Part: TypeAlias = tuple[dict[str, bytes], int]

AUTH_TOKEN_SECRET = "GIT_AUTH_TOKEN"  # noqa: S105 - the name of a secret
AUTH_HEADER_SECRET = "GIT_AUTH_HEADER"  # noqa: S105

_NOTHING: Part = {}, 0
_BUNDLE_SCHEMES = ("docker-image+blob://", "oci-layout+blob://")


@dataclass(frozen=True, slots=True, kw_only=True)
class GitSignature:
    """How a commit or tag must be signed (L41, X22).

    Attributes:
        public_key: the armored public key of the signer.
        reject_expired: an expired key is a failure.
        require_signed_tag: the tag must be signed, not only the commit.
        ignore_signed_tag: the tag's signature does not count, only the commit's.
    """

    public_key: str
    reject_expired: bool = False
    require_signed_tag: bool = False
    ignore_signed_tag: bool = False

    def attrs(self) -> dict[str, bytes]:
        """The source's attributes."""
        attrs = {"git.sig.pubkey": check_text(self.public_key, "public key").encode()}
        for name in ("reject_expired", "require_signed_tag", "ignore_signed_tag"):
            if check_bool(getattr(self, name), name):
                attrs[f"git.sig.{name.replace('_', '')}"] = b"true"
        return attrs


def git(
    url: str,
    ref: str = "",
    *,
    subdir: str = "",
    keep_git_dir: bool = False,
    submodules: bool = True,
    mtime: MTime | None = None,
    checksum: str = "",
    fetch_by_commit: bool = False,
    auth_token_secret: str | None = None,
    auth_header_secret: str | None = None,
    known_hosts: str | Iterable[str] = (),
    ssh: str = "",
    bundle: str = "",
    bundle_session: str = "",
    bundle_store: str = "",
    checkout_bundle: bool = False,
    signature: GitSignature | None = None,
    **options: Unpack[PlatformOptions],
) -> State:
    """A git repository's files.

    An address with ``ssh://``, or as ``git@host:path``, uses an SSH agent of the client. Go's client then
    asks the host for its key over the network while it makes the graph; here nothing is asked (L7): give
    ``known_hosts``, or the daemon trusts whatever key the host shows.

    Args:
        url: the repository; an address without a scheme is taken for ``https``. What is behind ``#`` is the
            ref and the directory, as in Docker's addresses.
        ref: a branch, tag or commit, the default branch when empty; ``ref:directory`` works too.
        subdir: the directory that is taken.
        keep_git_dir: keep ``.git``.
        submodules: check out submodules too.
        mtime: the files' times: ``checkout`` is now, ``commit`` is the commit's.
        checksum: the commit that the ref must be.
        fetch_by_commit: fetch the commit of ``checksum`` without asking what the ref is.
        auth_token_secret: the secret that holds a token, ``GIT_AUTH_TOKEN`` when not given.
        auth_header_secret: the secret that holds the ``Authorization`` header, ``GIT_AUTH_HEADER`` when not
            given.
        known_hosts: lines of a ``known_hosts`` file.
        ssh: the SSH agent's id, ``default`` when empty.
        bundle: take the commits out of a git bundle, a blob's address, instead of the repository.
        bundle_session: the session that has the bundle's OCI layout.
        bundle_store: the OCI layout of the bundle.
        checkout_bundle: give a git bundle, the file ``bundle``, instead of the files.
        signature: how the commit must be signed.
        options: see ``PlatformOptions``.

    Raises:
        DefinitionError: the address is none, or another argument is bad.
    """
    made = constraints(options, platform=True, where="git")
    remote = GitURL.parse(check_text(url, "git url"))
    ref, subdir = _place(remote, ref, subdir)
    identifier = remote.host + join("/", remote.path)
    if ref or subdir:
        identifier += f"#{ref}" + (f":{subdir}" if subdir else "")
    if checkout_bundle and (keep_git_dir or subdir):
        raise DefinitionError(
            "checkout_bundle gives no files, so keep_git_dir and subdir can not be given with it"
        )
    if fetch_by_commit and not checksum:
        raise DefinitionError("fetch_by_commit needs the commit, give it as checksum")
    flags = {
        "git.keepgitdir": (check_bool(keep_git_dir, "keep_git_dir"), Cap.GIT_KEEP_DIR),
        "git.skipsubmodules": (not check_bool(submodules, "submodules"), Cap.GIT_SKIP_SUBMODULES),
        "git.fetchbycommit": (check_bool(fetch_by_commit, "fetch_by_commit"), Cap.GIT_FETCH_BY_COMMIT),
        "git.checkoutbundle": (check_bool(checkout_bundle, "checkout_bundle"), Cap.GIT_CHECKOUT_BUNDLE),
    }
    attrs = {"git.fullurl": remote.remote.encode()}
    caps = Cap.GIT | Cap.GIT_FULL_URL
    parts = [
        _auth(auth_token_secret, auth_header_secret),
        _ssh(known_hosts, ssh) if remote.scheme == "ssh" else _NOTHING,
        _commit(checksum, mtime),
        *(({key: b"true"}, bit) for key, (given, bit) in flags.items() if given),
        _bundle(bundle, bundle_session, bundle_store, checksum) if bundle else _NOTHING,
        (signature.attrs(), Cap.GIT_SIGNATURE_VERIFY) if signature is not None else _NOTHING,
    ]
    for more, bits in parts:
        attrs.update(more)
        caps |= bits
    return state_of(SourceNode(f"git://{identifier}", attrs, caps, made, capture()))


def _place(remote: GitURL, ref: str, subdir: str) -> tuple[str, str]:
    """Ref and directory, from the arguments or from what is behind the address' ``#``."""
    if remote.fragment:
        if ref or subdir:
            raise DefinitionError(
                f"git url has {'#' + remote.fragment!r}, and ref or subdir is given too: give one"
            )
        ref = remote.fragment
    check_text(subdir, "subdir", empty=True)
    ref, colon, behind = check_text(ref, "ref", empty=True).partition(":")
    if not colon:
        return ref, subdir
    if subdir:
        raise DefinitionError(
            f"ref holds the directory {behind!r}, and subdir {subdir!r} is given too: give one"
        )
    return ref, join("/", behind).lstrip("/")


def _auth(token: str | None, header: str | None) -> Part:
    attrs = {
        "git.authtokensecret": text(AUTH_TOKEN_SECRET if token is None else token, "auth_token_secret"),
        "git.authheadersecret": text(AUTH_HEADER_SECRET if header is None else header, "auth_header_secret"),
    }
    attrs = {key: value for key, value in attrs.items() if value}
    # The usual names are always there, and need nothing of the daemon (L38).
    explicit = token is not None or header is not None
    return attrs, Cap.GIT_HTTP_AUTH if attrs and explicit else 0


def _ssh(known_hosts: str | Iterable[str], ssh: str) -> Part:
    listed = texts([known_hosts] if isinstance(known_hosts, str) else known_hosts, "known_hosts")
    hosts = "".join(f"{line.removesuffix(chr(10))}\n" for line in listed if line).encode()
    attrs = {"git.knownsshhosts": hosts} if hosts else {}
    attrs["git.mountsshsock"] = text(ssh, "ssh id") or b"default"
    return attrs, Cap.GIT_KNOWN_SSH_HOSTS | Cap.GIT_MOUNT_SSH_SOCK


def _commit(checksum: str, mtime: MTime | None) -> Part:
    attrs: dict[str, bytes] = {}
    caps = 0
    if text(checksum, "checksum"):
        attrs["git.checksum"] = checksum.encode()
        caps |= Cap.GIT_CHECKSUM
    if mtime is not None:
        if mtime not in ("checkout", "commit"):
            raise DefinitionError(f"mtime {mtime!r} does not exist, there are checkout, commit")
        attrs["git.mtime"] = mtime.encode()
        caps |= Cap.GIT_MTIME
    return attrs, caps


def _bundle(bundle: str, session: str, store: str, checksum: str) -> Part:
    if not check_text(bundle, "bundle").startswith(_BUNDLE_SCHEMES):
        raise DefinitionError(
            f"bundle {bundle!r} is no blob's address, start it with {' or '.join(_BUNDLE_SCHEMES)}"
        )
    if not checksum:
        raise DefinitionError("a bundle needs the commit that is taken out of it, give it as checksum")
    return {"git.bundle": bundle.encode(), **store_attrs(session, store)}, Cap.GIT_BUNDLE

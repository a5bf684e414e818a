"""Where files come from: registries, repositories, web servers (L2 to L8, L31 to L36, L43)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from pybuildkit.digests import parse_digest
from pybuildkit.errors import ConfigError, DefinitionError
from pybuildkit.llb import _caps
from pybuildkit.llb._caps import Cap
from pybuildkit.llb._encode import INT32_MAX, check_bool, check_int, check_text, text
from pybuildkit.llb._frames import capture
from pybuildkit.llb.imageconfig import ImageConfig
from pybuildkit.llb.nodes import LazyValues, LocalNode, SourceNode
from pybuildkit.llb.options import PlatformOptions, constraints
from pybuildkit.llb.resolve import ImageDeferred, ImageResolver, ResolveMode, parse_ref
from pybuildkit.llb.state import State

__all__ = ["http", "image", "image_blob", "oci_layout", "oci_layout_blob", "source"]

Attrs = dict[str, bytes]


def image(
    ref: str,
    *,
    resolve_mode: ResolveMode = "default",
    resolve: bool = False,
    pin: bool = False,
    user: bool = True,
    resolver: ImageResolver | None = None,
    config: ImageConfig | bytes | str | Mapping[str, Any] | None = None,
    internal: bool = False,
    layer_limit: int | None = None,
    checksum: str = "",
    **options: Unpack[PlatformOptions],
) -> State:
    """An image of a registry (L2).

    Args:
        ref: its reference, as ``alpine`` or ``ghcr.io/acme/base:3@sha256:...``.
        resolve_mode: ``default``; ``pull`` always asks the registry; ``local`` takes the daemon's own when it
            has it.
        resolve: take environment, directory, user and platform from the image's configuration, looked up when
            the graph is solved or marshalled.
        pin: replace the tag by the digest that the lookup gives; it turns ``resolve`` on.
        user: whether the configuration's user is taken; Go's client never takes it.
        resolver: looks the configuration up, instead of the one of ``solve`` or ``marshal``; it turns
            ``resolve`` on.
        config: the configuration itself, when it is known.
        internal: keep the image out of the daemon's list of what it holds.
        layer_limit: take only the first layers, so many of them.
        checksum: the digest that the image must have.
        options: see ``PlatformOptions``.

    Raises:
        DefinitionError: the reference is none, or another argument is bad.
    """
    made = constraints(options, platform=True, where="image")
    parsed = parse_ref(ref).with_default_tag()
    attrs: Attrs = {}
    caps = Cap.IMAGE
    if resolve_mode != "default":
        if resolve_mode not in ("pull", "local"):
            raise DefinitionError(
                f"resolve_mode {resolve_mode!r} does not exist, there are default, pull, local"
            )
        attrs["image.resolvemode"] = resolve_mode.encode()
        caps |= Cap.IMAGE_RESOLVE_MODE if resolve_mode == "pull" else 0
    if check_bool(internal, "internal"):
        attrs["image.recordtype"] = b"internal"
    if layer_limit is not None:
        attrs["image.layerlimit"] = b"%d" % check_int(layer_limit, "layer_limit", 0, INT32_MAX)
        caps |= Cap.IMAGE_LAYER_LIMIT
    if checksum:
        attrs["image.checksum"] = _digest(checksum, "checksum")
        caps |= Cap.IMAGE_CHECKSUM
    frame = capture()
    node = SourceNode(f"docker-image://{parsed}", attrs, caps, made, frame)
    state = state_of(node)
    if config is not None:
        return state.image_config(config, user=user)
    if not (resolve or pin or resolver is not None):
        return state
    platform = made.platform if made is not None else None
    pinned = pin and not parsed.digest
    deferred = ImageDeferred(
        node, parsed, platform, resolve_mode, pin=pinned, user=user, resolver=resolver, frame=frame
    )
    return State((deferred, 0) if pinned else (node, 0), LazyValues(deferred))


def image_blob(
    ref: str,
    *,
    filename: str = "",
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    **options: Unpack[PlatformOptions],
) -> State:
    """One blob of a registry's repository, as a file (L3).

    Args:
        ref: repository and digest, as ``docker.io/acme/models@sha256:...``.
        filename: the file's name.
        mode: its permissions.
        uid: its owner.
        gid: its group.
        options: see ``PlatformOptions``.

    Raises:
        DefinitionError: the reference has a tag, or no digest, or another argument is bad.
    """
    made = constraints(options, platform=True, where="image_blob")
    identifier = f"docker-image+blob://{_blob_ref(ref)}"
    attrs, _ = _file_attrs(filename, mode, uid, gid)
    return state_of(SourceNode(identifier, attrs, Cap.IMAGE_BLOB, made, capture()))


def oci_layout_blob(
    ref: str,
    *,
    session: str = "",
    store: str = "",
    filename: str = "",
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    **options: Unpack[PlatformOptions],
) -> State:
    """One blob of an OCI layout of the client, as a file (L4).

    Args:
        ref: a name and the blob's digest.
        session: the session that has the layout, empty for any.
        store: the layout's name in ``solve(oci_layouts=...)``, empty for the name in the reference.
        filename: the file's name.
        mode: its permissions.
        uid: its owner.
        gid: its group.
        options: see ``PlatformOptions``.

    Raises:
        DefinitionError: the reference has a tag, or no digest, or another argument is bad.
    """
    made = constraints(options, platform=True, where="oci_layout_blob")
    identifier = f"oci-layout+blob://{_blob_ref(ref)}"
    attrs, _ = _file_attrs(filename, mode, uid, gid)
    attrs.update(store_attrs(session, store))
    return state_of(SourceNode(identifier, attrs, Cap.IMAGE_BLOB, made, capture()))


def oci_layout(
    ref: str,
    *,
    session: str = "",
    store: str = "",
    layer_limit: int | None = None,
    checksum: str = "",
    **options: Unpack[PlatformOptions],
) -> State:
    """An image of an OCI layout of the client (L5).

    Args:
        ref: a name and the digest of a manifest or index in the layout; it goes to the daemon as it is.
        session: the session that has the layout, empty for any.
        store: the layout's name in ``solve(oci_layouts=...)``, empty for the name in the reference.
        layer_limit: take only the first layers, so many of them.
        checksum: the digest that ``ref`` must hold. The daemon has no such check (X21): it is made here.
        options: see ``PlatformOptions``.

    Raises:
        DefinitionError: an argument is bad.
    """
    made = constraints(options, platform=True, where="oci_layout")
    if any(c.isspace() for c in check_text(ref, "OCI layout reference")):
        raise DefinitionError(f"OCI layout reference {ref!r} holds white space, write name@sha256:...")
    attrs = store_attrs(session, store)
    if layer_limit is not None:
        attrs["oci.layerlimit"] = b"%d" % check_int(layer_limit, "layer_limit", 0, INT32_MAX)
    if checksum and not ref.endswith("@" + _digest(checksum, "checksum").decode()):
        raise DefinitionError(
            f"checksum {checksum} is not the digest of {ref!r}, give the reference with that digest"
        )
    return state_of(SourceNode(f"oci-layout://{ref}", attrs, Cap.OCI_LAYOUT, made, capture()))


def http(
    url: str,
    *,
    checksum: str = "",
    filename: str = "",
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    auth_header_secret: str = "",
    accept: str | None = None,
    user_agent: str | None = None,
    signature: tuple[str, str] | None = None,
    **options: Unpack[PlatformOptions],
) -> State:
    """A file of a web server (L8).

    Args:
        url: its ``http://`` or ``https://`` address; it goes to the daemon as it is.
        checksum: the digest that it must have; with it, the file is fetched only when it is not there yet.
        filename: the file's name; the server's or the address' when not given.
        mode: its permissions.
        uid: its owner.
        gid: its group.
        auth_header_secret: the secret that holds the ``Authorization`` header.
        accept: the ``Accept`` header.
        user_agent: the ``User-Agent`` header.
        signature: an armored OpenPGP key and a detached armored signature by it, which must be the file's.
        options: see ``PlatformOptions``.

    Raises:
        DefinitionError: the address is none, or another argument is bad.
    """
    made = constraints(options, platform=True, where="http")
    if not check_text(url, "url").startswith(("http://", "https://")) or any(c.isspace() for c in url):
        raise DefinitionError(
            f"url {url!r} is not one that can be fetched, start it with http:// or https://"
        )
    attrs, caps = _file_attrs(filename, mode, uid, gid)
    caps |= Cap.HTTP
    if checksum:
        attrs["http.checksum"] = _digest(checksum, "checksum")
        caps |= Cap.HTTP_CHECKSUM
    if text(auth_header_secret, "auth_header_secret"):
        attrs["http.authheadersecret"] = auth_header_secret.encode()
        caps |= Cap.HTTP_AUTH
    for name, value in (("accept", accept), ("user-agent", user_agent)):
        if value is not None:
            caps |= Cap.HTTP_HEADER
            if encoded := text(value, f"{name} header"):
                attrs[f"http.header.{name}"] = encoded
    if signature is not None:
        if not isinstance(signature, tuple) or len(signature) != 2:
            raise DefinitionError("signature is not a pair of an armored key and an armored signature")
        attrs["http.sig.pubkey"] = check_text(signature[0], "signature key").encode()
        attrs["http.sig.signature"] = check_text(signature[1], "signature").encode()
        caps |= Cap.HTTP_SIGNATURE_VERIFY
    return state_of(SourceNode(url, attrs, caps, made, capture()))


def source(
    identifier: str,
    attrs: Mapping[str, str] | None = None,
    *,
    caps: Iterable[str] = (),
    **options: Unpack[PlatformOptions],
) -> State:
    """A source that this library has no word for (L15).

    Args:
        identifier: scheme and name, as ``docker-image://...``.
        attrs: its attributes.
        caps: ids of the capabilities that it needs.
        options: see ``PlatformOptions``.

    Raises:
        DefinitionError: the identifier has no scheme, or another argument is bad.
    """
    made = constraints(options, platform=True, where="source")
    if "://" not in check_text(identifier, "source identifier"):
        raise DefinitionError(f"source identifier {identifier!r} has no scheme, write scheme://name")
    encoded = {
        check_text(key, "attribute"): text(value, f"attribute {key}") for key, value in (attrs or {}).items()
    }
    ids = frozenset(caps)
    try:
        mask = _caps.bits(ids)
    except KeyError as exc:
        raise DefinitionError(f"capability {exc.args[0]!r} does not exist") from None
    scheme, _, name = identifier.partition("://")
    if scheme == "local":
        return state_of(LocalNode(name, None, encoded, mask, made, capture()))
    return state_of(SourceNode(identifier, encoded, mask, made, capture()))


def state_of(node: SourceNode) -> State:
    """A state that starts at a source, with the platform that was asked for (L18)."""
    state = State((node, 0))
    platform = node.output_platform()
    return state if platform is None else state.platform(platform)


def _digest(value: str, what: str) -> bytes:
    try:
        parse_digest(check_text(value, what))
    except ConfigError as exc:
        raise DefinitionError(f"{what}: {exc}") from exc
    return value.encode()


def _blob_ref(ref: str) -> str:
    parsed = parse_ref(ref)
    if parsed.tag:
        raise DefinitionError(f"blob reference {ref!r} has a tag, write name@sha256:...")
    if not parsed.digest:
        raise DefinitionError(f"blob reference {ref!r} has no digest, write name@sha256:...")
    return str(parsed)


def _file_attrs(filename: str, mode: int, uid: int, gid: int) -> tuple[Attrs, int]:
    """Attributes of a source that is one file; zero is left out (L35)."""
    attrs: Attrs = {}
    caps = 0
    if encoded := text(filename, "filename"):
        attrs["http.filename"] = encoded
    if check_int(mode, "mode", 0, 0o777):
        attrs["http.perm"] = b"0%o" % mode
        caps |= Cap.HTTP_PERM
    for key, value in (("uid", uid), ("gid", gid)):
        if check_int(value, key, 0, INT32_MAX):
            attrs[f"http.{key}"] = b"%d" % value
            caps |= Cap.HTTP_UID_GID
    return attrs, caps


def store_attrs(session: str, store: str) -> Attrs:
    """Attributes of a source in a client's OCI layout."""
    attrs = {"oci.session": text(session, "session"), "oci.store": text(store, "store")}
    return {key: value for key, value in attrs.items() if value}

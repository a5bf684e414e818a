"""What the daemon says of a source without fetching it: an image's configuration, a commit, a file's digest (L17)."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict

from anyio import to_thread

from pybuildkit._values import dataclass, field
from pybuildkit.content.descriptor import Descriptor
from pybuildkit.errors import ConfigError
from pybuildkit.gateway import _proto as p
from pybuildkit.gateway._proto import Message
from pybuildkit.platforms import Platform, PlatformLike

if TYPE_CHECKING:
    from pybuildkit.llb import State
    from pybuildkit.llb.resolve import ResolveMode
    from pybuildkit.options import PolicySource

__all__ = [
    "AttestationChain",
    "ChecksumAlgorithm",
    "GitMetadata",
    "HTTPMetadata",
    "ImageMetadata",
    "ResolveOptions",
    "SourceLike",
    "SourceMetadata",
    "SourceQuery",
    "StoredBlob",
]

ChecksumAlgorithm: TypeAlias = Literal["sha256", "sha384", "sha512"]
_ALGORITHMS: tuple[ChecksumAlgorithm, ...] = ("sha256", "sha384", "sha512")

_MODES = ("default", "pull", "local")

SourceLike: TypeAlias = "str | State"
"""A source's identifier, as ``docker-image://docker.io/library/alpine:3``, or a state from ``llb.git`` and the like."""


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob of an attestation chain: what names it, and its bytes, empty when they were not asked for."""

    descriptor: Descriptor
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class AttestationChain:
    """The blobs that lead from an image's index to its attestations and signatures, by digest."""

    root: str
    image_manifest: str
    attestation_manifest: str
    signature_manifests: tuple[str, ...] = ()
    blobs: Mapping[str, StoredBlob] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """An image, for one platform.

    Attributes:
        ref: the reference after source policies, with its tag.
        digest: of what the reference names, mostly an index.
        config: the image's configuration, as JSON; empty when it was not asked for.
        attestations: when they were asked for.
    """

    ref: str
    digest: str
    config: bytes = b""
    attestations: AttestationChain | None = None

    def document(self) -> dict[str, Any]:
        """The configuration as Python has it.

        Raises:
            ConfigError: it is no JSON object, or was not asked for.
        """
        try:
            found = json.loads(self.config)
        except ValueError as exc:
            raise ConfigError(f"the configuration of {self.ref} is not JSON: {exc}") from exc
        if not isinstance(found, dict):
            raise ConfigError(f"the configuration of {self.ref} is no JSON object")
        return found


@dataclass(frozen=True, slots=True)
class GitMetadata:
    """A commit.

    Attributes:
        checksum: what the reference names: a commit, or an annotated tag.
        ref: its full name, as ``refs/heads/main``.
        commit: the commit of an annotated tag, empty for others.
        commit_object: the commit as git stores it, when it was asked for.
        tag_object: the tag as git stores it, likewise.
    """

    checksum: str
    ref: str = ""
    commit: str = ""
    commit_object: bytes = b""
    tag_object: bytes = b""


@dataclass(frozen=True, slots=True)
class HTTPMetadata:
    """A file behind a URL.

    Attributes:
        digest: of its content.
        filename: the name that it would get.
        last_modified: when the server says so.
        checksum: the digest that was asked for.
        suffix: what that one has behind the content.
    """

    digest: str
    filename: str = ""
    last_modified: datetime | None = None
    checksum: str = ""
    suffix: bytes = b""


@dataclass(frozen=True, slots=True)
class SourceMetadata:
    """What the daemon says of a source. One of ``image``, ``git`` and ``http`` is set for a source of that kind.

    Attributes:
        identifier: the source after source policies.
        attrs: its attributes, likewise.
        image: of an image or an OCI layout.
        git: of a repository.
        http: of a file behind a URL.
    """

    identifier: str
    attrs: Mapping[str, str] = field(default_factory=dict)
    image: ImageMetadata | None = None
    git: GitMetadata | None = None
    http: HTTPMetadata | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceQuery:
    """A question about a source.

    Attributes:
        identifier: as in a graph: ``docker-image://...``, ``git://...``, ``https://...``, ``oci-layout://...``.
        attrs: the source's attributes.
        platform: of an image; the daemon's own when None.
        log_name: what progress shows for it.
        resolve_mode: whether an image in the daemon's own store is good enough (X20).
        config: whether an image's configuration is wanted.
        attestation_chain: whether an image's attestation chain is wanted.
        attestations: predicate types of attestations whose content is wanted.
        git_objects: whether a commit's and a tag's objects are wanted.
        checksum: another digest of a file that is wanted, with what is to be hashed behind its content.
        source_policies: encoded, on top of the build's.
    """

    identifier: str
    attrs: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None
    log_name: str = ""
    resolve_mode: ResolveMode = "default"
    config: bool = True
    attestation_chain: bool = False
    attestations: tuple[str, ...] = ()
    git_objects: bool = False
    checksum: tuple[ChecksumAlgorithm, bytes] | None = None
    source_policies: tuple[bytes, ...] = ()

    def __post_init__(self) -> None:
        if self.resolve_mode not in _MODES:
            raise ConfigError(
                f"resolve_mode={self.resolve_mode!r} does not exist; use one of {', '.join(_MODES)}"
            )
        if self.checksum is not None and self.checksum[0] not in _ALGORITHMS:
            raise ConfigError(
                f"checksum algorithm {self.checksum[0]!r} does not exist; use one of {', '.join(_ALGORITHMS)}"
            )

    @property
    def wants_attestations(self) -> bool:
        """Whether anything of attestations is asked for."""
        return self.attestation_chain or bool(self.attestations)

    def encode(self) -> bytes:
        """``ResolveSourceMetaRequest``."""
        source = p.text(1, self.identifier) + p.text_map(2, self.attrs)
        image = (
            p.flag(1, not self.config) + p.flag(2, self.wants_attestations) + p.texts(3, self.attestations)
        )
        parts = [p.message(1, source), encode_platform(2, self.platform), p.text(3, self.log_name)]
        parts += [p.text(4, self.resolve_mode), p.blob(5, p.flag(1, self.git_objects)), p.blob(6, image)]
        if self.checksum is not None:
            algorithm, suffix = self.checksum
            asked = p.number(1, _ALGORITHMS.index(algorithm)) + p.blob(2, suffix)
            parts.append(p.message(7, p.message(1, asked)))
        parts += [p.message(8, policy) for policy in self.source_policies]
        return b"".join(parts)

    def encode_image_config(self, ref: str) -> bytes:
        """``ResolveImageConfigRequest``, for daemons that can resolve nothing but images."""
        parts = [p.text(1, ref), encode_platform(2, self.platform), p.text(3, self.resolve_mode)]
        parts += [p.text(4, self.log_name)]
        if self.identifier.startswith("oci-layout://"):
            parts += [p.number(5, 1), p.text(6, self.attrs.get("oci.session", ""))]
            parts += [p.text(7, self.attrs.get("oci.store", ""))]
        parts += [p.message(8, policy) for policy in self.source_policies]
        return b"".join(parts)


class ResolveOptions(TypedDict, total=False):
    """What can be asked of a source.

    Attributes:
        platform: of an image; the daemon's own by default.
        resolve_mode: ``pull`` asks the registry even when the daemon has the image, ``local`` prefers the daemon's (X20).
        config: whether an image's configuration is wanted; it is by default.
        attestation_chain: whether an image's attestation chain is wanted.
        attestations: predicate types of attestations whose content is wanted.
        git_objects: whether a commit's and a tag's objects are wanted.
        checksum: another digest of a file that is wanted: the algorithm, and what is hashed behind its content.
        log_name: what progress shows.
        source_policies: on top of the build's own.
    """

    platform: PlatformLike | None
    resolve_mode: ResolveMode
    config: bool
    attestation_chain: bool
    attestations: Iterable[str]
    git_objects: bool
    checksum: tuple[ChecksumAlgorithm, bytes] | None
    log_name: str
    source_policies: PolicySource | Iterable[PolicySource]


def source_parts(source: SourceLike) -> tuple[str, Mapping[str, str], Platform | None]:
    """A source's identifier, attributes and platform.

    Raises:
        ConfigError: it is no source.
    """
    from pybuildkit.llb.nodes import LocalNode, SourceNode
    from pybuildkit.llb.resolve import ImageDeferred
    from pybuildkit.llb.state import State

    if isinstance(source, str):
        if "://" not in source:
            raise ConfigError(
                f"source {source!r} has no scheme; write docker-image://, git://, https:// or oci-layout://"
            )
        return source, {}, None
    node = source.output[0] if isinstance(source, State) and source.output is not None else None
    if isinstance(node, ImageDeferred):
        node = node.source
    if not isinstance(node, SourceNode) or isinstance(node, LocalNode):
        raise ConfigError(
            "only a source can be resolved: a state of llb.image, llb.git, llb.http or llb.oci_layout itself"
        )
    attrs = {key: value.decode() for key, value in node.attrs.items()}
    return node.identifier, attrs, node.output_platform()


def decode_source(response: Message) -> SourceMetadata:
    """``ResolveSourceMetaResponse``."""
    source = response.message(1)
    identifier = source.text(1)
    return SourceMetadata(
        identifier,
        source.text_map(2),
        _decode_image(identifier, response.message(2)) if 2 in response else None,
        _decode_git(response.message(3)) if 3 in response else None,
        _decode_http(response.message(4)) if 4 in response else None,
    )


def _decode_image(identifier: str, image: Message) -> ImageMetadata:
    ref = identifier.removeprefix("docker-image://").removeprefix("oci-layout://")
    chain = _decode_chain(image.message(3)) if 3 in image else None
    return ImageMetadata(ref, image.text(1), image.blob(2), chain)


def _decode_chain(chain: Message) -> AttestationChain:
    return AttestationChain(
        chain.text(1),
        chain.text(2),
        chain.text(3),
        chain.texts(4),
        {digest: _decode_blob(Message(data)) for digest, data in chain.blob_map(5).items()},
    )


def _decode_blob(blob: Message) -> StoredBlob:
    found = blob.message(1)
    descriptor = Descriptor(found.text(1), found.text(2), found.number(3), found.text_map(5))
    return StoredBlob(descriptor, blob.blob(2))


def _decode_git(git: Message) -> GitMetadata:
    return GitMetadata(git.text(1), git.text(2), git.text(3), git.blob(4), git.blob(5))


def _decode_http(http: Message) -> HTTPMetadata:
    modified = None
    if 3 in http:
        modified = datetime.fromtimestamp(http.message(3).number(1), UTC)
    checksum = http.message(4)
    return HTTPMetadata(http.text(1), http.text(2), modified, checksum.text(1), checksum.blob(2))


def encode_platform(field: int, platform: Platform | None) -> bytes:
    """A ``pb.Platform`` field, nothing for None."""
    if platform is None:
        return b""
    body = p.text(1, platform.architecture) + p.text(2, platform.os) + p.text(3, platform.variant)
    return p.message(field, body + p.text(4, platform.os_version) + p.texts(5, platform.os_features))


async def encode_policies(policies: PolicySource | Iterable[PolicySource]) -> tuple[bytes, ...]:
    from pybuildkit.sourcepolicy import SourcePolicy, load_source_policy

    listed = [policies] if isinstance(policies, SourcePolicy | str | os.PathLike) else policies
    made = [await to_thread.run_sync(load_source_policy, policy) for policy in listed]
    return tuple(policy.encode() for policy in made if policy is not None)


async def query_for(source: SourceLike, attrs: Mapping[str, str], options: ResolveOptions) -> SourceQuery:
    identifier, own, found = source_parts(source)
    platform = options.get("platform")
    if isinstance(platform, str):
        platform = Platform.parse(platform)
    attestations = options.get("attestations", ())
    return SourceQuery(
        identifier=identifier,
        attrs={**own, **attrs},
        platform=platform or found,
        log_name=options.get("log_name", ""),
        resolve_mode=options.get("resolve_mode", "default"),
        config=options.get("config", True),
        attestation_chain=options.get("attestation_chain", False),
        attestations=(attestations,) if isinstance(attestations, str) else tuple(attestations),
        git_objects=options.get("git_objects", False),
        checksum=options.get("checksum"),
        source_policies=await encode_policies(options.get("source_policies", ())),
    )

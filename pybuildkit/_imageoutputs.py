"""Outputs that are images: in the daemon's store, in a registry, as an OCI layout, for ``docker load``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Self, TypeAlias, TypedDict, Unpack

from pybuildkit._attrs import attr, boolean, choice, epoch, integer, text
from pybuildkit._output import Output, directory_path
from pybuildkit._values import KW_ONLY, dataclass, field
from pybuildkit.annotations import AnnotationKey, annotation_attrs
from pybuildkit.errors import ConfigError
from pybuildkit.references import Reference
from pybuildkit.targets import FileDestination, FileTarget, StoreTarget, check_file_destination

__all__ = [
    "OCI",
    "Compression",
    "Docker",
    "EngineOptions",
    "Image",
    "ImageOptions",
    "ImageOutput",
    "Registry",
    "fill",
]

Compression: TypeAlias = Literal["uncompressed", "gzip", "estargz", "zstd"]

_LEVELS = {"gzip": 9, "estargz": 9, "zstd": 22}


@dataclass(frozen=True, slots=True, repr=False, eq=False, kw_only=True)
class ImageOutput(Output):
    """What all exporters that make images share (V41).

    Attributes:
        names: the image's names.
        annotations: by key, or by ``AnnotationKey`` for other places than the manifest.
        compression: of new layers.
        compression_level: 0 to 9 for gzip and estargz, 0 to 22 for zstd.
        force_compression: compress layers of the base image anew too.
        oci_mediatypes: OCI's media types instead of Docker's.
        oci_artifact: attestations as OCI artifacts.
        attestation_inline: attach attestations also where they are optional.
        prefer_nondist_layers: keep layers marked as not to be distributed.
        source_date_epoch: seconds since 1970, or a time with zone, for all times in the image's
            configuration.
        rewrite_timestamp: let no file in a layer have a later time.
    """

    attrs: Mapping[str, str] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    annotations: Mapping[str | AnnotationKey, str] = field(default_factory=dict)
    compression: Compression | None = field(
        default=None, metadata=attr("compression", choice("uncompressed", "gzip", "estargz", "zstd"))
    )
    compression_level: int | None = field(default=None, metadata=attr("compression-level", integer))
    force_compression: bool | None = field(default=None, metadata=attr("force-compression", boolean))
    oci_mediatypes: bool | None = field(default=None, metadata=attr("oci-mediatypes", boolean))
    oci_artifact: bool | None = field(default=None, metadata=attr("oci-artifact", boolean))
    attestation_inline: bool | None = field(default=None, metadata=attr("attestation-inline", boolean))
    prefer_nondist_layers: bool | None = field(default=None, metadata=attr("prefer-nondist-layers", boolean))
    source_date_epoch: int | datetime | None = field(default=None, metadata=attr("source-date-epoch", epoch))
    rewrite_timestamp: bool | None = field(default=None, metadata=attr("rewrite-timestamp", boolean))

    def __post_init__(self) -> None:
        """Check names and the combinations the daemon refuses."""
        object.__setattr__(self, "names", _names(self.names, self.type))
        self._check_compression()
        if self.oci_artifact and self.oci_mediatypes is False:
            raise ConfigError(
                f"output {self.type}: oci_artifact=True needs OCI media types, not oci_mediatypes=False"
            )
        Output.__post_init__(self)

    def _check_compression(self) -> None:
        if self.compression == "estargz" and self.oci_mediatypes is False:
            raise ConfigError(f"output {self.type}: compression='estargz' needs oci_mediatypes=True")
        highest = _LEVELS.get(self.compression or "gzip")
        level = self.compression_level
        if level is not None and highest is not None and not 0 <= level <= highest:
            raise ConfigError(
                f"output {self.type}: compression_level={level} is not between 0 and {highest}, "
                f"{self.compression or 'gzip'}'s highest"
            )

    def exporter_attrs(self) -> dict[str, str]:
        """The attributes as the daemon gets them."""
        attrs: dict[str, str] = {"name": ",".join(self.names)} if self.names else {}
        attrs.update(annotation_attrs(self.annotations))
        return {**attrs, **Output.exporter_attrs(self)}

    def named(self, *names: str | Reference) -> Self:
        """The same with these names, if it has none."""
        if self.names or not names or self.attrs.get("name"):
            return self
        renamed: Self = _replaced(self, names=_names(names, self.type))
        return renamed


class _CommonOptions(TypedDict, total=False):
    annotations: Mapping[str | AnnotationKey, str]
    compression: Compression | None
    compression_level: int | None
    force_compression: bool | None
    oci_mediatypes: bool | None
    oci_artifact: bool | None
    attestation_inline: bool | None
    prefer_nondist_layers: bool | None
    source_date_epoch: int | datetime | None
    rewrite_timestamp: bool | None
    attrs: Mapping[str, str]


class ImageOptions(_CommonOptions, total=False):
    """The keyword options of ``Image`` and ``Registry``; see there."""

    push: bool | None
    push_by_digest: bool | None
    insecure: bool | None
    unpack: bool | None
    store: bool | None
    dangling_name_prefix: str | None
    dangling_name_empty_only: bool | None
    name_canonical: bool | None


class EngineOptions(_CommonOptions, total=False):
    """The keyword options of ``DockerEngine``; see there."""

    context: str


@dataclass(frozen=True, slots=True, repr=False, eq=False, init=False)
class Image(ImageOutput):
    """An image in the daemon's image store, or pushed to a registry by the daemon.

    Attributes:
        names: the image's names; the positional arguments. ``*`` takes the frontend's own.
        push: push it. Needs a name.
        push_by_digest: push it without a tag.
        insecure: push over plain HTTP or with an unknown certificate.
        unpack: unpack it in the daemon, for containerd.
        store: keep it in the daemon's image store, where it has one.
        dangling_name_prefix: name it also by this and its digest.
        dangling_name_empty_only: do so only when it has no name.
        name_canonical: name it also by its name and digest.
    """

    type: str = field(default="image", init=False)
    push: bool | None = field(default=None, metadata=attr("push", boolean))
    push_by_digest: bool | None = field(default=None, metadata=attr("push-by-digest", boolean))
    insecure: bool | None = field(default=None, metadata=attr("registry.insecure", boolean))
    unpack: bool | None = field(default=None, metadata=attr("unpack", boolean))
    store: bool | None = field(default=None, metadata=attr("store", boolean))
    dangling_name_prefix: str | None = field(default=None, metadata=attr("dangling-name-prefix", text))
    # The daemon's own spelling.
    dangling_name_empty_only: bool | None = field(
        default=None, metadata=attr("danging-name-empty-only", boolean)
    )
    name_canonical: bool | None = field(default=None, metadata=attr("name-canonical", boolean))

    def __init__(self, *names: str | Reference, **options: Unpack[ImageOptions]) -> None:
        """Make one; see the class."""
        fill(self, type="image", names=names, **options)

    @property
    def target(self) -> None:
        """Nothing comes to this side."""
        if self.dest is not None:
            raise ConfigError(
                f"output {self.type}: it writes nothing here; oci and docker write an image to a file"
            )


@dataclass(frozen=True, slots=True, repr=False, eq=False, init=False)
class Registry(Image):
    """An image pushed to a registry: ``Image`` with ``push`` on."""

    def __init__(self, *names: str | Reference, **options: Unpack[ImageOptions]) -> None:
        """Make one; see ``Image``."""
        if options.get("push") is False:
            raise ConfigError("output registry: push=False contradicts it, use Image")
        options["push"] = True
        fill(self, type="image", names=names, **options)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class OCI(ImageOutput):
    """An image as an OCI layout: one tar archive, or a directory with ``tar=False``.

    Attributes:
        dest: for an archive a path, a binary file object, a byte stream, ``STDOUT`` or a function that
            returns one; else a directory.
        tar: whether it is an archive.
    """

    type: str = field(default="oci", init=False)
    dest: FileDestination  # pyright: ignore[reportGeneralTypeIssues] - required here
    _: KW_ONLY
    tar: bool = True

    def exporter_attrs(self) -> dict[str, str]:
        """The attributes as the daemon gets them."""
        tar = {} if self.tar else {"tar": "false"}
        return {**tar, **ImageOutput.exporter_attrs(self)}

    @property
    def target(self) -> FileTarget | StoreTarget:
        """The stream, or the layout's directory."""
        if self.tar:
            return FileTarget(check_file_destination(self.dest, what=f"output {self.type}"))
        return StoreTarget(directory_path(self.dest, self.type))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Docker(OCI):
    """An image as ``docker load`` takes it. It holds one platform only."""

    type: str = field(default="docker", init=False)


def _names(names: str | tuple[str | Reference, ...], kind: str) -> tuple[str, ...]:
    given = names.split(",") if isinstance(names, str) else [str(n) for n in names]
    for name in given:
        if name == "*":
            continue
        try:
            Reference.parse(name)
        except ConfigError as exc:
            raise ConfigError(f"output {kind}: {exc}") from None
    return tuple(given)


def fill(output: Any, **values: Any) -> None:
    """A hand-made ``__init__`` for the classes whose names are positional."""
    for name, spec in type(output).__dataclass_fields__.items():
        if name in values:
            value = values.pop(name)
        else:
            value = spec.default_factory() if callable(spec.default_factory) else spec.default
        object.__setattr__(output, name, value)
    if values:
        raise TypeError(f"{type(output).__name__} has no option {', '.join(sorted(values))}")
    output.__post_init__()


def _replaced(output: Any, **values: Any) -> Any:
    """A copy with other values: ``dataclasses.replace`` can not call an ``__init__`` with positional names."""
    copy = object.__new__(type(output))
    for name in type(output).__dataclass_fields__:
        object.__setattr__(copy, name, values.get(name, getattr(output, name)))
    copy.__post_init__()
    return copy

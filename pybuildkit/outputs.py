"""Outputs: what becomes of a result. Several can be asked of one build.

Each kind of exporter has a class with its attributes as typed fields; ``attrs`` takes whatever has no field
yet. ``Output`` itself is the general form, for exporters that this library does not know. Every class reads
buildctl's text::

    Output.parse("type=local,dest=out")     == Local("out")
    Output.parse("type=image,name=a,push=true") == Image("a", push=True)
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

from pybuildkit._attrs import absorb, attr, boolean, choice, epoch, text
from pybuildkit._engineoutput import DockerEngine
from pybuildkit._imageoutputs import OCI, Compression, Docker, Image, ImageOptions, ImageOutput, Registry
from pybuildkit._output import Output, directory_path
from pybuildkit._values import KW_ONLY, dataclass, field
from pybuildkit.errors import ConfigError
from pybuildkit.targets import DirectoryTarget, FileDestination, FileTarget, check_file_destination

__all__ = [
    "OCI",
    "CacheOnly",
    "Compression",
    "Docker",
    "DockerEngine",
    "Image",
    "ImageOptions",
    "Local",
    "Output",
    "OutputLike",
    "Registry",
    "Tar",
]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Local(Output):
    """The result's files, into a directory. What is there already stays, unless ``mode`` says otherwise.

    Attributes:
        dest: the directory.
        mode: ``copy`` (default), or ``delete`` to make the directory equal to the result.
        platform_split: one sub-directory a platform, as ``linux_amd64``; default with several platforms.
        attestation_prefix: put before the names of attestation files.
        source_date_epoch: seconds since 1970, or a time with zone: no file gets a later time.
        atomic: change the directory only when all has come and the build has succeeded.
        devices: device nodes are an error (``refuse``), left out (``skip``) or made (``create``, for root).
    """

    type: str = field(default="local", init=False)
    dest: str | os.PathLike[str]  # pyright: ignore[reportGeneralTypeIssues] - required here
    _: KW_ONLY
    mode: Literal["copy", "delete"] | None = field(
        default=None, metadata=attr("mode", choice("copy", "delete"))
    )
    platform_split: bool | None = field(default=None, metadata=attr("platform-split", boolean))
    attestation_prefix: str | None = field(default=None, metadata=attr("attestation-prefix", text))
    source_date_epoch: int | datetime | None = field(default=None, metadata=attr("source-date-epoch", epoch))
    attrs: Mapping[str, str] = field(default_factory=dict)
    atomic: bool = False
    devices: Literal["refuse", "skip", "create"] = "refuse"

    @property
    def target(self) -> DirectoryTarget:
        """The directory."""
        if self.devices not in ("refuse", "skip", "create"):
            raise ConfigError(f"output local: devices={self.devices!r} is none of refuse, skip, create")
        mode = self.exporter_attrs().get("mode", "").strip().lower()
        path = directory_path(self.dest, self.type)
        return DirectoryTarget(path, delete=mode == "delete", atomic=self.atomic, devices=self.devices)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Tar(Output):
    """The result's files as one tar archive; not a loadable image, see ``OCI`` and ``Docker`` for that.

    Attributes:
        dest: a path, a binary file object, a byte stream, ``STDOUT``, or a function that returns one.
        platform_split: one directory a platform; so it is with several platforms, whatever is said here, in BuildKit
            0.32.
        attestation_prefix: put before the names of attestation files.
        source_date_epoch: seconds since 1970, or a time with zone: no file gets a later time.
    """

    type: str = field(default="tar", init=False)
    dest: FileDestination  # pyright: ignore[reportGeneralTypeIssues] - required here
    _: KW_ONLY
    platform_split: bool | None = field(default=None, metadata=attr("platform-split", boolean))
    attestation_prefix: str | None = field(default=None, metadata=attr("attestation-prefix", text))
    source_date_epoch: int | datetime | None = field(default=None, metadata=attr("source-date-epoch", epoch))
    attrs: Mapping[str, str] = field(default_factory=dict)

    @property
    def target(self) -> FileTarget:
        """The stream."""
        return FileTarget(check_file_destination(self.dest, what="output tar"))


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class CacheOnly(Output):
    """Nothing: the result stays in the build cache. No output at all means the same."""

    type: str = field(default="cacheonly", init=False)
    attrs: Mapping[str, str] = field(default_factory=dict, init=False)
    dest: None = field(default=None, init=False)

    @property
    def exporter(self) -> str:
        """None: the daemon is not asked."""
        return ""


OutputLike: TypeAlias = Output | str


def typed_output(cls: type[Output], attrs: Mapping[str, str], **given: Any) -> Output:
    """An output of a class from attributes as text: those that have a field fill it, the others stay text.

    Raises:
        ConfigError: an attribute has a value that the daemon would refuse.
    """
    values, rest = absorb(cls, attrs)
    names = given.pop("names", ())
    if issubclass(cls, Image | DockerEngine):
        return cls(*names, attrs=rest, **values, **given)
    if issubclass(cls, ImageOutput):
        given["names"] = names
    return cls(attrs=rest, **values, **given)

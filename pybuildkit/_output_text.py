"""buildctl's text for outputs (B17), and the checks over all outputs of one build."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from pybuildkit import csvattrs
from pybuildkit.errors import ConfigError
from pybuildkit.outputs import (
    OCI,
    CacheOnly,
    Docker,
    DockerEngine,
    Image,
    Local,
    Output,
    OutputLike,
    Registry,
    Tar,
    typed_output,
)
from pybuildkit.targets import STDOUT, DirectoryTarget, FileTarget, Stdout, StoreTarget

__all__ = ["parse_output", "resolve_outputs"]

_CLASSES: dict[str, type[Output]] = {
    "local": Local,
    "tar": Tar,
    "oci": OCI,
    "docker": Docker,
    "docker-engine": DockerEngine,
    "image": Image,
    "registry": Registry,
}


def parse_output(text: str) -> Output:
    """See ``Output.parse``."""
    attrs = dict(csvattrs.pairs(text, what="output"))
    kind = attrs.pop("type", "")
    if not kind:
        raise ConfigError(f"output {text!r} has no type, write type=local,dest={text} or another type")
    if "output" in attrs:
        raise ConfigError(
            f"output {text!r}: output={attrs['output']} is not known, you meant dest={attrs['output']}"
        )
    dest = attrs.pop("dest", "")
    if kind == "cacheonly":
        if attrs or dest:
            raise ConfigError(f"output {text!r}: cacheonly takes nothing else")
        return CacheOnly()
    cls = _CLASSES.get(kind)
    if cls is None:
        return _unknown(text, kind, attrs, dest)
    try:
        return _known(text, cls, attrs, dest)
    except ConfigError as exc:
        raise ConfigError(str(exc) if text in str(exc) else f"{exc}, in output {text!r}") from None


def _known(text: str, cls: type[Output], attrs: dict[str, str], dest: str) -> Output:
    if cls is Local:
        return typed_output(cls, attrs, dest=_needed(text, dest))
    if cls is Tar:
        return typed_output(cls, attrs, dest=_stream(text, dest))
    given: dict[str, object] = {}
    if attrs.get("name"):
        given["names"] = tuple(attrs.pop("name").split(","))
    if issubclass(cls, OCI):
        tar = csvattrs.parse_bool(attrs.pop("tar", "") or "true", what="tar")
        given |= {"tar": tar, "dest": _stream(text, dest) if tar else _needed(text, dest)}
    elif dest:
        raise ConfigError(
            f"output {text!r}: dest= does not go with this type; type=oci or type=docker write a file"
        )
    elif cls is DockerEngine:
        given["context"] = attrs.pop("context", "")
    return typed_output(cls, attrs, **given)


def _unknown(text: str, kind: str, attrs: dict[str, str], dest: str) -> Output:
    if dest:
        raise ConfigError(
            f"output {text!r}: dest= goes with local, tar, oci and docker only; {kind!r} is none of them"
        )
    return Output(kind, attrs)


def _needed(text: str, dest: str) -> str:
    if not dest:
        raise ConfigError(f"output {text!r} needs a directory, add dest=DIRECTORY")
    return dest


def _stream(text: str, dest: str) -> str | Stdout:
    if dest not in {"", "-"}:
        return dest
    if dest == "" and _is_console():
        raise ConfigError(
            f"output {text!r}: an archive is not written to a console, add dest=FILE or redirect stdout"
        )
    return STDOUT


def _is_console() -> bool:
    return sys.stdout is not None and not sys.stdout.closed and sys.stdout.isatty()


def resolve_outputs(
    outputs: OutputLike | Iterable[OutputLike] | None, *, names: Iterable[str] = ()
) -> tuple[Output, ...]:
    """The outputs of one build, checked against each other and the disk.

    Their order gives them their numbers (C25); ``CacheOnly`` is left out. Blocks on a few stats.

    Args:
        outputs: values or buildctl's texts.
        names: names for image outputs that have none.

    Raises:
        ConfigError: two write to one place, a file is where a directory should be or the other way round,
            more than one writes an OCI directory (S67), or there is a push without a name.
    """
    if outputs is None:
        return ()
    given = [outputs] if isinstance(outputs, str | Output) else list(outputs)
    found = [item if isinstance(item, Output) else Output.parse(item) for item in given]
    named = [output.named(*names) for output in found if output.exporter]
    seen: set[object] = set()
    stores = 0
    for output in named:
        place = _place(output)
        if place is not None and place in seen:
            raise ConfigError(f"two outputs write to {place}, give each its own dest")
        seen.add(place)
        stores += isinstance(output.target, StoreTarget)
        if stores > 1:
            raise ConfigError(
                "BuildKit writes one OCI directory a build; make the others archives, without tar=False"
            )
        _check_push(output)
    return tuple(named)


def _place(output: Output) -> object:
    """What the output writes to, checked against the disk; None when that can not be known."""
    target = output.target
    if isinstance(target, DirectoryTarget | StoreTarget):
        if target.path.exists() and not target.path.is_dir():
            raise ConfigError(f"output {output.type}: {str(target.path)!r} is not a directory")
        return target.path.absolute()
    if not isinstance(target, FileTarget):
        return None
    destination = target.destination
    if isinstance(destination, Stdout):
        return destination
    if not isinstance(destination, str | os.PathLike):
        return None
    path = Path(os.fspath(destination))
    if path.is_dir():
        raise ConfigError(f"output {output.type}: {str(path)!r} is a directory, dest must name a file")
    return path.absolute()


def _check_push(output: Output) -> None:
    attrs = output.exporter_attrs()
    push = attrs.get("push")
    if push is None or (push and not csvattrs.parse_bool(push, what="push")):
        return
    if not attrs.get("name") and not attrs.get("dangling-name-prefix"):
        raise ConfigError(
            f"output {output.type}: push needs a name, as Image('registry/name:tag', push=True)"
        )

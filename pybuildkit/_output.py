"""The general form of an output, on which all kinds stand."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pybuildkit._attrs import render
from pybuildkit._values import dataclass, field, fields
from pybuildkit.errors import ConfigError
from pybuildkit.references import Reference
from pybuildkit.targets import FileTarget, Target, check_file_destination

__all__ = ["Output", "directory_path"]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Output:
    """An exporter by its type and attributes: the general form.

    Attributes:
        type: the exporter's name, as the daemon knows it.
        attrs: its attributes; they win over typed fields.
        dest: where bytes go, for exporters that send some: what kinds are allowed depends on the exporter
            (V1).
    """

    type: str
    attrs: Mapping[str, str] = field(default_factory=dict)
    dest: Any = None

    def __post_init__(self) -> None:
        """Check what can be checked without looking at any file."""
        if not self.type:
            raise ConfigError("an output needs a type, as local, tar, oci, docker or image")
        for key, value in self.attrs.items():
            if not isinstance(value, str):
                raise ConfigError(f"output {self.type}: the attribute {key}={value!r} must be a string")
        self.exporter_attrs()
        _ = self.target

    @classmethod
    def parse(cls, text: str) -> Output:
        """Read buildctl's ``type=…[,dest=…][,key=value…]`` (B17).

        Known types give their class. No ``dest``, or ``dest=-``, is standard output where the exporter sends
        a stream.

        Raises:
            ConfigError: the text can not be read, or asks for what can not be.
        """
        from pybuildkit._output_text import parse_output

        return parse_output(text)

    @property
    def exporter(self) -> str:
        """The exporter's name on the wire; empty when nothing is asked of the daemon."""
        return self.type

    def exporter_attrs(self) -> dict[str, str]:
        """The attributes as the daemon gets them.

        Raises:
            ConfigError: a typed field has a value that the daemon would refuse.
        """
        try:
            return {**render(self), **self.attrs}
        except ConfigError as exc:
            raise ConfigError(f"output {self.type}: {exc}") from None

    @property
    def target(self) -> Target | None:
        """Where the exporter's bytes go on this side; None when it sends none."""
        if self.dest is None:
            return None
        return FileTarget(check_file_destination(self.dest, what=f"output {self.type}"))

    def named(self, *names: str | Reference) -> Output:
        """The same with image names, where it can have some and has none yet."""
        return self

    def __eq__(self, other: object) -> bool:
        """Same kind, same values. Written once for all kinds: generating it for each costs start-up time."""
        if type(other) is not type(self):
            return NotImplemented
        return all(getattr(self, f.name) == getattr(other, f.name) for f in fields(self))

    def __repr__(self) -> str:
        """What differs from the defaults."""
        shown = []
        for spec in fields(self):
            value = getattr(self, spec.name)
            default = spec.default_factory() if callable(spec.default_factory) else spec.default
            if spec.init and spec.name != "names" and value != default:
                shown.append(f"{spec.name}={value!r}")
        names = [repr(name) for name in getattr(self, "names", ())]
        return f"{type(self).__name__}({', '.join(names + shown)})"


def directory_path(dest: object, kind: str) -> Path:
    """A destination that must be a directory.

    Raises:
        ConfigError: it is none.
    """
    if isinstance(dest, str | os.PathLike) and os.fspath(dest):
        return Path(os.fspath(dest))
    raise ConfigError(f"output {kind}: it needs a directory as dest, not {dest!r}")

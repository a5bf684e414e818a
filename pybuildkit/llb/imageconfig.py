"""What an image's configuration says of commands that run in it (L21)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pybuildkit._values import dataclass
from pybuildkit.errors import DefinitionError
from pybuildkit.llb._encode import check_text
from pybuildkit.llb._env import encode_item
from pybuildkit.platforms import Platform

__all__ = ["ImageConfig"]


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The part of an OCI image configuration that a state takes over.

    Attributes:
        env: environment variables as ``NAME=value``.
        working_dir: the working directory, empty when the image has none.
        user: the user, empty for root.
        platform: the image's platform, None when it does not say.
    """

    env: tuple[str, ...] = ()
    working_dir: str = ""
    user: str = ""
    platform: Platform | None = None

    @classmethod
    def parse(cls, config: bytes | str | Mapping[str, Any]) -> ImageConfig:
        """Read an image configuration, as JSON or as what JSON gives.

        Raises:
            DefinitionError: it is none.
        """
        try:
            image = config if isinstance(config, Mapping) else json.loads(config)
        except (ValueError, TypeError) as exc:
            raise DefinitionError(f"image configuration is not JSON: {exc}") from exc
        if not isinstance(image, Mapping):
            raise DefinitionError(
                f"image configuration is a {type(image).__name__}, it must be a JSON object"
            )
        inner = image.get("config")
        inner = {} if inner is None else inner
        if not isinstance(inner, Mapping):
            raise DefinitionError(
                f"image configuration: config is a {type(inner).__name__}, it must be a JSON object"
            )
        os, arch = _text(image, "os"), _text(image, "architecture")
        platform = None
        if os and arch:
            features = tuple(_texts(image, "os.features"))
            platform = Platform(os, arch, _text(image, "variant"), _text(image, "os.version"), features)
        return cls(tuple(_texts(inner, "Env")), _text(inner, "WorkingDir"), _text(inner, "User"), platform)

    def changes(self, *, user: bool) -> list[tuple[str, Any]]:
        """The changes of settings that applying it makes, in order; with the user or, as in Go, without."""
        items = []
        for assignment in self.env:
            name, _, value = assignment.partition("=")
            if name:
                items.append(encode_item(name, value))
        changes: list[tuple[str, Any]] = [("env", tuple(items))] if items else []
        changes.append(("dir", self.working_dir))
        if self.platform is not None:
            changes.append(("platform", self.platform.normalized()))
        if user and self.user:
            changes.append(("user", self.user))
        return changes


def _text(values: Mapping[str, Any], name: str) -> str:
    return check_text(values.get(name) or "", f"image configuration: {name}", empty=True)


def _texts(values: Mapping[str, Any], name: str) -> list[str]:
    listed = values.get(name) or []
    if not isinstance(listed, list | tuple):
        raise DefinitionError(f"image configuration: {name} is a {type(listed).__name__}, it must be a list")
    return [check_text(value, f"image configuration: {name}", empty=True) for value in listed]

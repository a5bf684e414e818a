"""Image configurations, as exporters take them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pybuildkit.errors import ConfigError
from pybuildkit.gateway.results import ImageConfigLike, platform_json
from pybuildkit.platforms import Platform, PlatformLike

__all__ = ["image_config"]

_MADE_BY_EXPORTERS = ("rootfs", "created")
_OF_A_CONTAINER = ("container", "container_config", "docker_version", "id", "parent")


def image_config(
    platform: PlatformLike | None = None,
    *,
    base: ImageConfigLike | None = None,
    env: Mapping[str, str] | None = None,
    entrypoint: str | Iterable[str] | None = None,
    cmd: str | Iterable[str] | None = None,
    working_dir: str | None = None,
    user: str | None = None,
    labels: Mapping[str, str] | None = None,
    ports: Iterable[int | str] = (),
    volumes: Iterable[str] = (),
    stop_signal: str | None = None,
    author: str | None = None,
    **more: Any,
) -> dict[str, Any]:
    """An image's configuration; exporters fill in layers and times.

    Args:
        platform: the image's; that of ``base``, or this machine's, when not given.
        base: the configuration of the image that it is built on. What is given here comes on top; another entrypoint
            drops the base's command.
        env: environment variables.
        entrypoint: the command's first words; a string is for a shell.
        cmd: the command's last words, likewise.
        working_dir: the directory in which it starts.
        user: the user as whom it starts.
        labels: labels.
        ports: ports that it listens on, as ``80`` or ``"53/udp"``.
        volumes: paths whose content is not the image's.
        stop_signal: the signal that stops it, as ``SIGTERM``.
        author: who made it.
        more: more of the inner configuration under its own names, as ``Healthcheck={"Test": [...]}``.

    Raises:
        ConfigError: the base is none, or a value is of the wrong kind.
    """
    image = _base(base)
    if isinstance(platform, str):
        platform = Platform.parse(platform)
    if platform is None and not (image.get("os") and image.get("architecture")):
        platform = Platform.host()
    if platform is not None:
        for key in ("os", "architecture", "variant", "os.version", "os.features"):
            image.pop(key, None)
        image |= platform_json(platform.normalized())
    if author is not None:
        image["author"] = author
    config: dict[str, Any] = dict(image.get("config") or {})
    if env:
        config["Env"] = _merged_env(config.get("Env") or (), env)
    if entrypoint is not None:
        config["Entrypoint"] = _command(entrypoint, "entrypoint")
        config.pop("Cmd", None)
    if cmd is not None:
        config["Cmd"] = _command(cmd, "cmd")
    given = {"WorkingDir": working_dir, "User": user, "StopSignal": stop_signal}
    config |= {key: value for key, value in given.items() if value is not None}
    for key, values in (
        ("Labels", dict(labels or {})),
        ("ExposedPorts", {_port(port): {} for port in ports}),
        ("Volumes", {volume: {} for volume in volumes}),
    ):
        if values:
            config[key] = {**(config.get(key) or {}), **values}
    image["config"] = config | more
    return image


def _base(base: ImageConfigLike | None) -> dict[str, Any]:
    try:
        image = json.loads(base) if isinstance(base, bytes | str) else base
    except ValueError as exc:
        raise ConfigError(f"the base's image configuration is not JSON: {exc}") from exc
    if image is None:
        return {}
    if not isinstance(image, Mapping):
        raise ConfigError(
            f"the base's image configuration is a {type(image).__name__}, it must be a JSON object"
        )
    return {key: value for key, value in image.items() if key not in (*_MADE_BY_EXPORTERS, *_OF_A_CONTAINER)}


def _merged_env(old: Iterable[str], new: Mapping[str, str]) -> list[str]:
    """Variables as ``NAME=value``; one that is there already keeps its place."""
    found: dict[str, str] = {}
    for item in old:
        key, _, value = item.partition("=")
        found[key] = value
    for name, value in new.items():
        if not name or "=" in name or not isinstance(value, str):
            raise ConfigError(f"env: {name!r}: {value!r} must be a name with a string")
        found[name] = value
    return [f"{name}={value}" for name, value in found.items()]


def _command(words: str | Iterable[str], what: str) -> list[str]:
    listed = ["/bin/sh", "-c", words] if isinstance(words, str) else list(words)
    if not all(isinstance(word, str) for word in listed):
        raise ConfigError(f"{what}={listed!r} must be strings")
    return listed


def _port(port: int | str) -> str:
    text = str(port)
    number, _, protocol = text.partition("/")
    if not number.isdigit() or not 0 < int(number) < 1 << 16 or protocol not in ("", "tcp", "udp", "sctp"):
        raise ConfigError(f"port {port!r} is none; write 80 or '53/udp'")
    return f"{int(number)}/{protocol or 'tcp'}"

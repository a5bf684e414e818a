"""Entitlements: what a build may do beyond its sandbox (V86, B27)."""

from __future__ import annotations

from collections.abc import Iterable

from pybuildkit import csvattrs
from pybuildkit.errors import ConfigError

__all__ = ["DEVICE", "NETWORK_HOST", "SECURITY_INSECURE", "resolve_entitlements"]

NETWORK_HOST = "network.host"
"""Steps may use the daemon's own network."""

SECURITY_INSECURE = "security.insecure"
"""Steps may run without a sandbox."""

DEVICE = "device"
"""Steps may use the daemon's CDI devices: all, or ``device=NAME[,alias=NAME]``."""


def resolve_entitlements(entitlements: str | Iterable[str] | None) -> tuple[str, ...]:
    """The entitlements of a build, each once.

    Raises:
        ConfigError: one is not known.
    """
    if entitlements is None:
        return ()
    given = [entitlements] if isinstance(entitlements, str) else entitlements
    return tuple(dict.fromkeys(_checked(text) for text in given))


def _checked(text: str) -> str:
    name, equals, device = text.partition("=")
    if name == DEVICE:
        if equals and device:
            _check_device(text, device)
        return text
    if text not in {NETWORK_HOST, SECURITY_INSECURE}:
        raise ConfigError(
            f"entitlement {text!r} is not one of {NETWORK_HOST}, {SECURITY_INSECURE}, {DEVICE}, {DEVICE}=NAME"
        )
    return text


def _check_device(text: str, device: str) -> None:
    try:
        fields = csvattrs.split(device)
    except csvattrs.CSVError as exc:
        raise ConfigError(f"entitlement {text!r}: {exc}") from None
    for field in fields[1:]:
        key, equals, _ = field.partition("=")
        if not equals or key != "alias":
            raise ConfigError(f"entitlement {text!r}: {field!r} is not alias=NAME")

"""Content digests, ``sha256:…``, as the image world writes them."""

from __future__ import annotations

import re

from pybuildkit.errors import ConfigError

__all__ = ["is_digest", "parse_digest", "sha256_digest"]

_HEX_LENGTH = {"sha256": 64, "sha384": 96, "sha512": 128}
_SHAPE = r"[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+"
_HEX = r"[a-f0-9]+"


def sha256_digest(data: bytes | bytearray | memoryview) -> str:
    """The data's digest, as ``sha256:`` and 64 hexadecimal digits."""
    import hashlib  # a matter of start-up time

    return "sha256:" + hashlib.sha256(data).hexdigest()


def parse_digest(text: str) -> tuple[str, str]:
    """Algorithm and lower-case hexadecimal value of a digest.

    Raises:
        ConfigError: the text is no digest, the algorithm is not sha256, sha384 or sha512, or the length is
            wrong.
    """
    algorithm, colon, value = text.partition(":")
    if not colon or not algorithm or not value:
        raise ConfigError(f"{text!r} is not a digest, write sha256: and 64 hexadecimal digits")
    length = _HEX_LENGTH.get(algorithm)
    if length is None:
        if not re.fullmatch(_SHAPE, text):
            raise ConfigError(f"{text!r} is not a digest, write sha256: and 64 hexadecimal digits")
        raise ConfigError(
            f"digest {text!r}: the algorithm {algorithm!r} is not one of {', '.join(_HEX_LENGTH)}"
        )
    if len(value) != length:
        raise ConfigError(f"digest {text!r}: {len(value)} digits, {algorithm} has {length}")
    if not re.fullmatch(_HEX, value):
        raise ConfigError(f"digest {text!r}: only the digits 0-9 and a-f are allowed")
    return algorithm, value


def is_digest(text: str) -> bool:
    """Whether the text is a digest that ``parse_digest`` accepts."""
    try:
        parse_digest(text)
    except ConfigError:
        return False
    return True

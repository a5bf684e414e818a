"""Reading ``.dockerignore`` files, as moby/patternmatcher/ignorefile does (S39).

The daemon's frontend reads the one in a context itself, through the session (S40); this is for callers who want
to know beforehand, and for warnings.
"""

from __future__ import annotations

from pybuildkit.errors import ConfigError
from pybuildkit.fsutil._gopath import clean, trim_space

__all__ = ["MAX_LINE", "parse_ignorefile"]

MAX_LINE = 64 * 1024
"""No line may be as long as this, in bytes, its end included."""


def parse_ignorefile(data: bytes | str) -> list[str]:
    """Give the patterns of an ignore file, for ``PatternMatcher``.

    Comments (``#`` in the first column only) and blank lines are left out; the rest is trimmed, cleaned, and
    loses a leading ``/``.

    Raises:
        ConfigError: a line is too long.
    """
    raw = data.encode(errors="surrogateescape") if isinstance(data, str) else data
    patterns = []
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if len(line) >= MAX_LINE:
            raise ConfigError(
                f"line {number} of the ignore file has {len(line)} bytes: the most is {MAX_LINE - 1}"
            )
        text = line.decode(errors="surrogateescape")
        if not text.startswith("#") and (text := trim_space(text)):
            patterns.append(_normalise(text))
    return patterns


def _normalise(pattern: str) -> str:
    sign = "!" if pattern[0] == "!" else ""
    if sign:
        pattern = trim_space(pattern[1:])
    if pattern:
        pattern = clean(pattern)
        if len(pattern) > 1:
            pattern = pattern.removeprefix("/")
    return sign + pattern

"""The one-line CSV that BuildKit's tools use for ``key=value`` options, as ``type=local,dest=out``.

The grammar is RFC 4180 on a single line, as the Go side reads it: nothing is trimmed, a quote inside an
unquoted field is an error, and so are an empty string and an unterminated quote. The standard library's
reader accepts all three, hence this one.
"""

from __future__ import annotations

from collections.abc import Iterable

from pybuildkit.errors import ConfigError

__all__ = ["CSVError", "join", "pairs", "parse_bool", "split"]

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class CSVError(ConfigError):
    """The text is not one line of CSV.

    Attributes:
        column: where reading stopped, counted from 1; 0 for an empty text.
    """

    def __init__(self, message: str, *, column: int) -> None:
        super().__init__(message)
        self.column = column


def split(text: str) -> list[str]:
    r"""The fields of one line of CSV; one line end (``\n`` or ``\r\n``) at the end is allowed.

    Raises:
        CSVError: the text is empty, or its quotes do not match.
    """
    line = text.removesuffix("\n")
    if line != text:
        line = line.removesuffix("\r")
    if not line:
        raise CSVError("it is empty, write key=value[,key=value]", column=0)
    if '"' not in line:
        return line.split(",")
    return _split_quoted(line)


def _split_quoted(line: str) -> list[str]:
    fields: list[str] = []
    pos = 0
    while True:
        if line.startswith('"', pos):
            field, pos = _quoted(line, pos)
        else:
            field, pos = _plain(line, pos)
        fields.append(field)
        if pos == len(line):
            return fields
        pos += 1  # the comma


def _plain(line: str, pos: int) -> tuple[str, int]:
    comma = line.find(",", pos)
    end = len(line) if comma < 0 else comma
    quote = line.find('"', pos, end)
    if quote >= 0:
        raise CSVError(
            f"a quote in the middle of a field at column {quote + 1}; quote the whole field, as "
            '"key=a,b", and double the quotes inside it',
            column=quote + 1,
        )
    return line[pos:end], end


def _quoted(line: str, pos: int) -> tuple[str, int]:
    parts: list[str] = []
    pos += 1
    while True:
        quote = line.find('"', pos)
        if quote < 0:
            raise CSVError(f"the quoted field at column {pos + 1} does not end", column=pos + 1)
        parts.append(line[pos:quote])
        pos = quote + 1
        if pos == len(line) or line[pos] == ",":
            return "".join(parts), pos
        if line[pos] != '"':
            raise CSVError(
                f"text behind the closing quote at column {quote + 1}; double the quotes inside a field",
                column=quote + 1,
            )
        parts.append('"')
        pos += 1


def join(fields: Iterable[str]) -> str:
    """One line of CSV that ``split`` reads back; fields are quoted only where they must be.

    Raises:
        ConfigError: there is no field, or only one and it is empty: CSV can not express that.
    """
    quoted = [_quote(field) for field in fields]
    if quoted == [""] or not quoted:
        raise ConfigError("an empty list can not be written as CSV")
    return ",".join(quoted)


def _quote(field: str) -> str:
    if field.endswith(("\n", "\r")) or any(c in field for c in ',"'):
        return '"' + field.replace('"', '""') + '"'
    return field


def pairs(text: str, *, what: str, confidential: bool = False) -> list[tuple[str, str]]:
    """The ``key=value`` fields of one line of CSV, in order, keys in lower case as buildctl does (B17).

    Args:
        text: the line.
        what: what it configures, for error texts: ``output``, ``secret``.
        confidential: the text may hold credentials, so that no error may quote it.

    Raises:
        ConfigError: the text is not CSV, or a field has no ``=``.
    """
    shown = what if confidential else f"{what} {text!r}"
    try:
        fields = split(text)
    except CSVError as exc:
        raise CSVError(f"{shown}: {exc}", column=exc.column) from None
    out: list[tuple[str, str]] = []
    for number, field in enumerate(fields, 1):
        key, equals, value = field.partition("=")
        if not equals:
            named = f"field {number}" if confidential else f"the field {field!r}"
            raise ConfigError(f"{shown}: {named} is not key=value")
        out.append((key.lower(), value))
    return out


def parse_bool(value: str, *, what: str) -> bool:
    """Read a boolean as Go does: 1, t, true, 0, f, false in lower, upper or title case.

    Raises:
        ConfigError: it is none of them.
    """
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise ConfigError(f"{what}={value!r} is not a boolean, write true or false")

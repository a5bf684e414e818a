"""The gateway's messages, by hand: what is needed of protocol buffers, and no generated code to import.

Encoding is a concatenation of fields; decoding is one walk that sorts the fields by number. Values that proto3 leaves
out are left out here, and read as empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pybuildkit._wire import ProtoDecodeError, field_bytes, field_varint, fields, signed

__all__ = [
    "Message",
    "blob",
    "blob_map",
    "flag",
    "message",
    "message_map",
    "number",
    "text",
    "text_map",
    "texts",
]


def text(field: int, value: str) -> bytes:
    """A string field."""
    return field_bytes(field, value.encode()) if value else b""


def texts(field: int, values: Iterable[str]) -> bytes:
    """A repeated string field; empty strings stay."""
    return b"".join(field_bytes(field, value.encode()) for value in values)


def blob(field: int, value: bytes) -> bytes:
    """A bytes field."""
    return field_bytes(field, value) if value else b""


def message(field: int, value: bytes) -> bytes:
    """A message field that is set, even to an empty message."""
    return field_bytes(field, value)


def number(field: int, value: int) -> bytes:
    """An integer or enum field."""
    return field_varint(field, value)


def flag(field: int, value: bool) -> bytes:
    """A bool field."""
    return field_varint(field, int(value))


def text_map(field: int, values: Mapping[str, str]) -> bytes:
    """A ``map<string, string>``, in key order so that equal maps are equal bytes."""
    return message_map(field, {key: value.encode() for key, value in values.items()})


def blob_map(field: int, values: Mapping[str, bytes]) -> bytes:
    """A ``map<string, bytes>``, likewise."""
    return message_map(field, values)


def message_map(field: int, values: Mapping[str, bytes]) -> bytes:
    """A map from string to encoded messages, likewise."""
    return b"".join(
        field_bytes(field, field_bytes(1, key.encode()) + field_bytes(2, values[key]))
        for key in sorted(values)
    )


class Message:
    """A decoded message: its fields by number.

    Raises:
        ProtoDecodeError: the bytes are no message. Reading a field raises it when the field is of another type.
    """

    __slots__ = ("_fields",)

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[int | bytes]] = {}
        for field, value in fields(data):
            self._fields.setdefault(field, []).append(value)

    def __contains__(self, field: int) -> bool:
        """Whether the field is there at all: for messages and oneofs."""
        return field in self._fields

    def blobs(self, field: int) -> list[bytes]:
        """A repeated bytes or message field."""
        found = self._fields.get(field, [])
        if any(isinstance(value, int) for value in found):
            raise ProtoDecodeError(f"field {field} is a number, and should not be")
        return found  # type: ignore[return-value]

    def blob(self, field: int) -> bytes:
        """A bytes field, or an encoded message; the last one wins."""
        found = self.blobs(field)
        return found[-1] if found else b""

    def text(self, field: int) -> str:
        """A string field."""
        return _decoded(self.blob(field), field)

    def texts(self, field: int) -> tuple[str, ...]:
        """A repeated string field."""
        return tuple(_decoded(value, field) for value in self.blobs(field))

    def number(self, field: int) -> int:
        """An integer field, as int64."""
        found = self._fields.get(field)
        if not found:
            return 0
        value = found[-1]
        if not isinstance(value, int):
            raise ProtoDecodeError(f"field {field} is no number, and should be")
        return signed(value)

    def flag(self, field: int) -> bool:
        """A bool field."""
        return self.number(field) != 0

    def message(self, field: int) -> Message:
        """A message field, empty when it is not set."""
        return Message(self.blob(field))

    def messages(self, field: int) -> list[Message]:
        """A repeated message field."""
        return [Message(value) for value in self.blobs(field)]

    def blob_map(self, field: int) -> dict[str, bytes]:
        """A map from string to bytes or encoded messages, in the order it came."""
        entries = self.messages(field)
        return {entry.text(1): entry.blob(2) for entry in entries}

    def text_map(self, field: int) -> dict[str, str]:
        """A ``map<string, string>``."""
        return {key: _decoded(value, field) for key, value in self.blob_map(field).items()}


def _decoded(value: bytes, field: int) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise ProtoDecodeError(f"field {field} is not UTF-8") from exc

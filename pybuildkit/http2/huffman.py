"""Huffman coded strings of RFC 7541 (section 5.2), read a byte at a time.

A state is what the last byte left of a code. From a state, a byte leads to the symbols that it completes and to the
next state. Of the 65,281 steps there are (256 states), text takes some hundreds: each is worked out from the code when
it is first met, and kept. To make all of them would cost a start more than all that it decodes, and to read symbol by
symbol takes more than twice the time. A kept step is a fact of the code, no string is kept; a peer that is out to have
them all kept gets 8 MB.
"""

from __future__ import annotations

__all__ = ["HuffmanError", "decode"]

_BY_LENGTH = (
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b'!"()?'),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\x00$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, b"\\\xc3\xd0"),
    (20, b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"),
    (21, b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"),
    (
        22,
        b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9",
    ),
    (
        23,
        (
            b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7"
            b"\xbc\xbf\xc5\xe7\xef"
        ),
    ),
    (24, b"\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"),
    (25, b"\xc7\xcf\xea\xeb"),
    (26, b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"),
    (27, b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"),
    (
        28,
        (
            b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d"
            b"\x1e\x1f\x7f\xdc\xf9"
        ),
    ),
    (30, b"\x0a\x0d\x16"),
)
"""Appendix B, where codes of one length count upwards in this order: the lengths say them all."""

_SHIFTS = range(7, -1, -1)
_EMPTY = 1
"""The state with nothing left. In the others, the bits of the code that has begun follow this one."""
_END = (1 << 31) - 1
"""The state behind thirty ones, the code for the end of a string. It must not occur (section 5.2)."""


class HuffmanError(ValueError):
    """The bytes are not a Huffman coded string."""


class _State(dict[int, tuple[bytes, "_State"]]):
    """Leads from a byte to the symbols that it completes and the state behind it.

    Attributes:
        final: a string may end here: what is left is fewer than eight bits, all of them one.
    """

    __slots__ = ("_bits", "_states", "_symbols", "final")

    def __init__(self, bits: int, symbols: dict[int, bytes], states: dict[int, _State]) -> None:
        super().__init__()
        self._bits = bits
        self._symbols = symbols
        self._states = states
        self.final = bits < 1 << 8 and not bits & (bits + 1)

    def __missing__(self, byte: int) -> tuple[bytes, _State]:
        symbols = self._symbols
        found = b""
        bits = self._bits << 8 | byte
        for shift in _SHIFTS:
            symbol = symbols.get(bits >> shift)
            if symbol is not None:
                found += symbol
                start = 1 << shift
                bits = bits & (start - 1) | start
        if bits >= _END:
            raise HuffmanError("the code for the end of the string stands in it")
        state = self._states.get(bits)
        if state is None:
            # Several threads may be here at once: what they find is equal, and one of them has its way.
            state = self._states.setdefault(bits, _State(bits, symbols, self._states))
        step = self[byte] = found, state
        return step


def _symbols() -> dict[int, bytes]:
    """From a whole code, behind a one, to its symbol."""
    found: dict[int, bytes] = {}
    code = length = 0
    for size, symbols in _BY_LENGTH:
        code <<= size - length
        length = size
        for symbol in symbols:
            found[1 << size | code] = bytes((symbol,))
            code += 1
    return found


_start: _State | None = None


def decode(raw: bytes) -> bytes:
    """The string that was coded; the time is linear in its size.

    Raises:
        HuffmanError: the code for the end occurs, or what follows the last symbol is not fewer than eight ones.
    """
    global _start  # made for the first string
    state = _start
    if state is None:
        states: dict[int, _State] = {}
        state = _start = states[_EMPTY] = _State(_EMPTY, _symbols(), states)
    pieces: list[bytes] = []
    for byte in raw:
        symbols, state = state[byte]
        pieces.append(symbols)
    if not state.final:
        raise HuffmanError("the string ends within a code")
    return b"".join(pieces)

"""A small screen for the output of one step: enough of a terminal that progress bars look right in a window.

Understood are new lines, carriage returns, backspaces, tabs, the sequences that move the cursor or erase, and colours
(which are dropped). What a terminal would do beyond that is ignored, never shown as rubbish.
"""

from __future__ import annotations

import codecs
import re

__all__ = ["Screen"]

_SEQUENCE = re.compile(
    r"\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[PX^_][^\x1b]*\x1b\\|[ -/]+[0-~]|(?![PX\[\]^_])[0-~])"
)
_CUT_OFF = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*|[PX^_][^\x1b]*|[ -/]*)?\Z")
_TEXT = re.compile(r"[^\x00-\x1f\x7f]+")

LONGEST_SEQUENCE = 256
"""An escape sequence that is not over by then is not one."""


class Screen:
    """The last lines of a step's output, as a terminal of this size would show them."""

    def __init__(self, width: int, height: int) -> None:
        self.width = max(1, width)
        self.height = max(1, height)
        self._lines: list[list[str]] = [[]]
        self._row = 0
        self._column = 0
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pending = ""

    def resize(self, width: int, height: int) -> None:
        """Change the size; lines that are too long now are cut when shown."""
        self.width, self.height = max(1, width), max(1, height)
        self._scroll()

    def feed(self, data: bytes) -> None:
        """Take output in; it may end in the middle of a character or of a sequence."""
        text = self._pending + self._decode.decode(data)
        self._pending = ""
        # Only what can still be seen matters, and a step may print megabytes.
        keep = self.width * self.height * 8
        if len(text) > keep:
            text = text[-keep:]
        position = 0
        while position < len(text):
            position = self._step(text, position)

    def lines(self) -> list[str]:
        """What is on the screen, blank lines left out."""
        rows = ("".join(line)[: self.width].rstrip() for line in self._lines)
        return [row for row in rows if row]

    def _step(self, text: str, position: int) -> int:
        found = _TEXT.match(text, position)
        if found:
            self._write(found.group())
            return found.end()
        char = text[position]
        if char == "\x1b":
            return self._escape(text, position)
        if char == "\n":
            self._newline()
        elif char == "\r":
            self._column = 0
        elif char == "\b":
            self._column = max(0, self._column - 1)
        elif char == "\t":
            self._write(" " * (8 - self._column % 8))
        return position + 1

    def _escape(self, text: str, position: int) -> int:
        sequence = _SEQUENCE.match(text, position)
        if sequence:
            if sequence.group(2):
                self._control(sequence.group(1), sequence.group(2))
            return sequence.end()
        if _CUT_OFF.match(text, position) and len(text) - position < LONGEST_SEQUENCE:
            self._pending = text[position:]
            return len(text)
        return position + 1

    def _write(self, text: str) -> None:
        for char in text:
            if self._column >= self.width:
                self._newline()
            line = self._lines[self._row]
            if self._column < len(line):
                line[self._column] = char
            else:
                line.extend(" " * (self._column - len(line)))
                line.append(char)
            self._column += 1
            if len(self._lines) > self.height:
                self._scroll()

    def _newline(self) -> None:
        self._column = 0
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append([])
        self._scroll()

    def _scroll(self) -> None:
        # As in buildctl's windows, the line behind the last one takes no place until there is something on it.
        behind = self._row == len(self._lines) - 1 and not self._lines[self._row]
        extra = len(self._lines) - self.height - behind
        if extra > 0:
            del self._lines[:extra]
            self._row = max(0, self._row - extra)

    def _control(self, parameters: str, final: str) -> None:
        numbers = [int(part) if part.isdigit() else 0 for part in parameters.split(";")]
        count = min(max(1, numbers[0]), self.width * self.height)
        if final == "A":
            self._row = max(0, self._row - count)
        elif final == "B":
            self._row = min(len(self._lines) - 1, self._row + count)
        elif final == "C":
            self._column = min(self.width - 1, self._column + count)
        elif final == "D":
            self._column = max(0, self._column - count)
        elif final == "G":
            self._column = min(self.width - 1, count - 1)
        elif final == "H":
            self._row = min(len(self._lines) - 1, count - 1)
            self._column = min(self.width - 1, max(0, (numbers[1] if len(numbers) > 1 else 1) - 1))
        elif final == "K":
            self._erase_line(numbers[0])
        elif final == "J" and numbers[0] >= 2:
            self._lines, self._row = [[]], 0

    def _erase_line(self, how: int) -> None:
        line = self._lines[self._row]
        if how == 2:
            line.clear()
        elif how == 1:
            line[: self._column] = " " * min(self._column, len(line))
        else:
            del line[self._column :]

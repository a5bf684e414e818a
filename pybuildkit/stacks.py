"""Go stack traces that came with an error, one for each process it passed through (C60)."""

from __future__ import annotations

from collections.abc import Iterable

from pybuildkit._values import dataclass, replace

__all__ = ["Frame", "Stack", "render_stacks"]


@dataclass(frozen=True, slots=True)
class Frame:
    """A function, and a line in a file."""

    name: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Stack:
    """The trace of one process.

    Attributes:
        frames: innermost first.
        cmdline: the process' command line.
        pid: its id, where it ran.
        version: its version, as ``v0.32.2``.
        revision: its commit.
    """

    frames: tuple[Frame, ...] = ()
    cmdline: tuple[str, ...] = ()
    pid: int = 0
    version: str = ""
    revision: str = ""

    def render(self) -> str:
        """The trace as Go prints it, with a line end."""
        head = f"{self.pid} {self.version} {' '.join(self.cmdline)}\n"
        return head + "".join(f"{f.name}\n\t{f.file}:{f.line}\n" for f in self.frames)


def render_stacks(message: str, stacks: Iterable[Stack]) -> str:
    """The message and all traces, as BuildKit's tools print them with ``--debug``, repeated frames left out."""
    return f"{message}\n" + "".join(stack.render() + "\n" for stack in _compress(list(stacks)))


def _compress(stacks: list[Stack]) -> list[Stack]:
    """Longest first; what a trace shares with an earlier one, from the outermost frame on, is shown once."""
    out: list[Stack] = []
    for stack in sorted(stacks, key=lambda s: -len(s.frames)):
        common = [(_common(stack.frames, earlier.frames), earlier) for earlier in out]
        repeated = any(
            n > 0
            and n == len(stack.frames)
            and (stack.pid, stack.version, stack.cmdline) == (e.pid, e.version, e.cmdline)
            for n, e in common
        )
        if repeated:
            continue
        # One common frame stays: it says where the rest goes on.
        drop = max((n for n, _ in common), default=0) - 1
        out.append(replace(stack, frames=stack.frames[: len(stack.frames) - drop]) if drop > 0 else stack)
    return out


def _common(a: tuple[Frame, ...], b: tuple[Frame, ...]) -> int:
    count = 0
    for one, other in zip(reversed(a), reversed(b), strict=False):
        if one != other:
            break
        count += 1
    return count

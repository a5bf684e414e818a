"""What a test leaves behind: threads, file descriptors, child processes and tasks, and how it is found."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Snapshot", "leaked_tasks"]

# grpc's C core and its aio layer open these at the first call of the process, and keep them.
_KEPT_DESCRIPTORS = ("anon_inode:[eventpoll]", "anon_inode:[eventfd]")
_KEPT_THREADS = ("_poll_wrapper", "pytest_timeout", "execnet")

_PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What this process has at one moment."""

    threads: frozenset[threading.Thread]
    descriptors: frozenset[tuple[int, str]]
    children: frozenset[int]

    @classmethod
    def take(cls) -> Snapshot:
        return cls(frozenset(threading.enumerate()), frozenset(_descriptors()), frozenset(_children()))

    def leaks(self) -> list[str]:
        """What has come since and does not go by itself within a moment; texts for the reader."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while (found := self._found()) and time.monotonic() < deadline:
            gc.collect()  # a descriptor may hang on a cycle that only waits for the collector
            time.sleep(0.02)
        return found

    def _found(self) -> list[str]:
        now = Snapshot.take()
        threads = [t for t in now.threads - self.threads if not any(kept in t.name for kept in _KEPT_THREADS)]
        return [
            *(f"thread {thread.name!r}" for thread in threads if thread.is_alive()),
            *(f"descriptor {number} ({what})" for number, what in sorted(now.descriptors - self.descriptors)),
            *(f"child process {pid} ({_command(pid)})" for pid in sorted(now.children - self.children)),
        ]


def _descriptors() -> Iterator[tuple[int, str]]:
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the listing's own
        if target not in _KEPT_DESCRIPTORS:
            yield int(name), target


def _children() -> Iterator[int]:
    for task in os.listdir("/proc/self/task"):
        try:
            # Not by pathlib, which tests replace parts of.
            with open(f"/proc/self/task/{task}/children") as file:
                yield from map(int, file.read().split())
        except FileNotFoundError:
            continue  # the thread has ended


def _command(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except FileNotFoundError:
        return "ended"


async def leaked_tasks(before: set[asyncio.Task[object]]) -> list[str]:
    """The tasks that have come since, and do not end within a moment."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _PATIENCE_SECONDS
    while True:
        found = [task for task in asyncio.all_tasks() - before if not _is_runners(task)]
        if not found or loop.time() > deadline:
            return [f"task {task.get_name()}: {task.get_coro()}" for task in found]
        await asyncio.sleep(0.01)


def _is_runners(task: asyncio.Task[object]) -> bool:
    """Whether it is one of the tasks in which anyio's plugin runs tests and fixtures, this one included."""
    return "TestRunner." in getattr(task.get_coro(), "__qualname__", "")

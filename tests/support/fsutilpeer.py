"""Go's side of a transfer: ``tools/cmd/fsutilpeer``."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

from pybuildkit.fsutil.send import Sender
from pybuildkit.fsutil.stat import Stat
from tests.support.goprograms import program


@cache
def _program() -> Path:
    return program("fsutilpeer")


def ask(questions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """What a client made in Go would send; see the program's ``Question``."""
    asked = "\n".join(json.dumps(question) for question in questions)
    told = subprocess.run(
        [_program(), "query"], input=asked.encode(), capture_output=True, check=True, timeout=60
    )
    return [json.loads(line) for line in told.stdout.splitlines()]


def go_stats(answer: dict[str, Any]) -> list[Stat]:
    """The entries of an answer, as ours."""
    return [
        Stat(
            each.get("path", ""),
            each.get("mode", 0),
            each.get("uid", 0),
            each.get("gid", 0),
            each.get("size", 0),
            each.get("modTime", 0),
            each.get("linkname", ""),
            each.get("devmajor", 0),
            each.get("devminor", 0),
            {key: base64.b64decode(value) for key, value in each.get("xattrs", {}).items()},
        )
        for each in answer.get("stats", ())
    ]


def receive(sender: Sender, dest: Path, *, differ: str = "metadata") -> str:
    """Let Go receive what the sender sends; its error, empty when there was none."""
    command = [str(_program()), "receive", "-differ", differ, str(dest)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        packets: SimpleQueue[bytes | None] = SimpleQueue()
        reader = threading.Thread(target=_read, args=(process.stdout, packets))
        reader.start()
        try:
            _drive(sender, process.stdin, packets)
        except BrokenPipeError:
            pass  # it says why on standard error
        finally:
            sender.close()
            with suppress(BrokenPipeError):
                process.stdin.close()
            error = process.stderr.read().decode()
            process.wait(60)
            reader.join(60)
    return error if process.returncode else ""


def _drive(sender: Sender, out: IO[bytes], packets: SimpleQueue[bytes | None]) -> None:
    while True:
        try:
            packet = packets.get(block=not sender.pending, timeout=60)
            if packet is None:
                return
            sender.feed(packet)
        except Empty:
            assert sender.pending, "the peer is silent"
        if sender.pending:
            for buffer in sender.pull():
                out.write(buffer)
            out.flush()
        if sender.done and not sender.pending:
            return


def _read(stream: IO[bytes], packets: SimpleQueue[bytes | None]) -> None:
    while head := stream.read(5):
        packets.put(stream.read(int.from_bytes(head[1:], "big")))
    packets.put(None)

"""Progress in a terminal beside buildctl's: the same builds in two panes of tmux, and what these show (P8 to P13).

Both follow the same steps of one daemon at the same time, so that their screens may differ in nothing but timers and
the order of what begins at once.
"""

from __future__ import annotations

import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pybuildkit import Client, llb
from pybuildkit.testing.service import BuildkitdService
from tests.support.tmux import Tmux, tmux_session

pytestmark = pytest.mark.integration

SIZES = [(80, 24), (200, 50)]
REPOSITORY = Path(__file__).parents[2]

DOCKERFILE = """\
FROM busybox AS base

FROM base AS lines
RUN --mount=type=cache,id=GATE,target=/gate for i in $(seq 9); do echo "line $i"; done; until test -e /gate/GATE; do sleep 0.1; done

FROM base AS bar
RUN --mount=type=cache,id=GATE,target=/gate echo WORDS; printf '10%%\\r50%%\\r99%%'; until test -e /gate/GATE; do sleep 0.1; done

FROM base
COPY --from=lines /bin/busybox /1
COPY --from=bar /bin/busybox /2
RUN echo "now it goes wrong"; echo "really"; exit 7
"""
WORDS = " ".join(f"word{number}" for number in range(20))

AT_WORK = """\
[+] Building (4/9)
 => [internal] load build definition from Dockerfile
 => [internal] load metadata for docker.io/library/busybox:latest
 => [internal] load .dockerignore
 => [base 1/1] FROM docker.io/library/busybox:latest@sha256:
 => [lines 1/1] RUN --mount=type=cache,id=GATE,target=/gate
 => => # line 4
 => => # line 5
 => => # line 6
 => => # line 7
 => => # line 8
 => => # line 9
 => [bar 1/1] RUN --mount=type=cache,id=GATE,target=/gate
 => => # word0 word1 word2 word3 word4 word5 word6 word7 word8 word9 word10 wor
 => => # d11 word12 word13 word14 word15 word16 word17 word18 word19
 => => # 99%
"""
"""What a pane of 80 columns shows; names of steps are longer, and the order is not always that."""


class Panes:
    """Both programs, each in a pane of its own."""

    def __init__(self, buildctl: Tmux, ours: Tmux, columns: int) -> None:
        self.both = (buildctl, ours)
        self.columns = columns

    def wait_for(self, pattern: str) -> None:
        """Until both show it."""
        for pane in self.both:
            pane.wait_for(pattern, timeout=60)

    def agreed(self) -> list[str]:
        """The shape of what is to be seen now, which is the same in both."""
        width = self.columns
        _, ours = self._when(lambda theirs, ours: shape(theirs, width) == shape(ours, width))
        return shape(ours, width)

    def full(self, rows: int) -> tuple[list[str], list[str]]:
        """What is to be seen now, buildctl's first, which is that many rows."""
        return self._when(lambda theirs, ours: len(theirs) == len(ours) == rows)

    def _when(self, ready: Callable[[list[str], list[str]], bool]) -> tuple[list[str], list[str]]:
        """Both, with a moment's patience for who draws later."""
        deadline = time.monotonic() + 20
        while True:
            theirs, ours = (self._screen(pane) for pane in self.both)
            if ready(theirs, ours):
                return theirs, ours
            assert time.monotonic() < deadline, "\n".join([*theirs, "--- and ours:", *ours])
            time.sleep(0.2)

    def _screen(self, pane: Tmux) -> list[str]:
        """What is to be seen now, from the line with the total on."""
        lines = pane.run("capture-pane", "-p").rstrip("\n").split("\n")
        assert all(len(line) < self.columns for line in lines), "a line is broken"
        return from_total(lines)

    def everything(self) -> tuple[list[str], list[str]]:
        """All that was ever shown and not drawn over."""
        found = []
        for pane in self.both:
            lines = pane.text().rstrip("\n").split("\n")
            assert sum(line.startswith("[+] Building") for line in lines) == 1, lines
            found.append(from_total(lines))
        return found[0], found[1]


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    found: tuple[int, int] = request.param
    return found


@contextmanager
def both_building(
    folder: Path, size: tuple[int, int], buildctl: Path, address: str, words: str
) -> Generator[Panes]:
    """The same build twice, typed into two shells."""
    columns, rows = size
    commands = {
        "buildctl": f"{buildctl} --addr {address} build",
        "ours": f"{sys.executable} -m pybuildkit --addr {address} solve",
    }
    with ExitStack() as stack:
        panes = []
        for name, command in commands.items():
            (folder / name).mkdir()
            (folder / name / "run").write_text(f"{command} --progress tty {words}\necho code $?\n")
            environ = {"PYTHONPATH": str(REPOSITORY)}
            pane = stack.enter_context(tmux_session(folder / name, environ, columns=columns, rows=rows))
            panes.append(pane)
        for pane in panes:
            pane.type("sh run")
        yield Panes(panes[0], panes[1], columns)


def from_total(lines: list[str]) -> list[str]:
    start = next(number for number, line in enumerate(lines) if line.startswith("[+] Building"))
    return lines[start:]


def shape(lines: Sequence[str], columns: int) -> list[str]:
    """Lines without what differs from run to run: timers, which must be at the right edge, and order."""
    found = []
    for line in lines:
        kept, timers = re.subn(r" +\d+\.\d+s$", "", line)
        if timers:
            assert len(line) == columns - 1, f"the timer is not at the edge: {line!r}"
        # How the base image comes to the daemon is a matter of what it has seen before.
        kept = kept.replace(" => CACHED [base", " => [base")
        if not re.match(r" => => (resolve|sha256|extracting|transferring)", kept):
            found.append(re.sub(r"^(\[\+\] Building) \d+\.\d+s|^\d+\.\d+ ", r"\1", kept))
    return [found[0], *sorted(found[1:])]


def test_steps_at_work_and_one_that_fails(
    buildkitd: BuildkitdService, buildctl: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    """Names, windows with the last lines of output, wrapped or drawn over as a terminal would; then the error."""
    gate = f"gate-{uuid.uuid4().hex[:8]}"
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace("GATE", gate).replace("WORDS", WORDS))
    words = f"--frontend dockerfile.v0 --local context={tmp_path} --local dockerfile={tmp_path}"
    with both_building(tmp_path, size, buildctl, buildkitd.address, words) as panes:
        for text in (r"# line 9$", r"word19$", r"# 99%$"):
            panes.wait_for(text)
        ours = panes.agreed()
        if size == (80, 24):
            assert_screen(ours, AT_WORK.replace("GATE", gate))
        open_gate = llb.image("busybox").run(f"touch /gate/{gate}", mounts={"/gate": llb.cache(f"/{gate}")})
        with Client(buildkitd.address) as client:
            client.solve(open_gate)
        panes.wait_for(r"^code 1$")
        theirs, ours = (shape(screen, size[0]) for screen in panes.everything())
        assert ours == theirs
        assert ours[0] == "[+] Building (9/9) FINISHED"
        assert "now it goes wrong" in ours
        assert any(line.startswith(" => ERROR [stage-3 3/3] RUN echo") for line in ours)
        assert not any("=> #" in line for line in ours), "the windows are gone"


def assert_screen(lines: list[str], expected: str) -> None:
    """Compare with a screen in this file, where names of steps may be longer."""
    first, *others = expected.splitlines()
    wanted = [first, *sorted(others)]
    shown = [line[: len(want)] if "] " in want else line for line, want in zip(lines, wanted, strict=False)]
    assert [*shown, *lines[len(wanted) :]] == wanted


class Downloads(ThreadingHTTPServer):
    """A server that keeps everybody waiting until it is told to go on."""

    daemon_threads = False
    request_queue_size = 256

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.waiting = threading.Semaphore(0)
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Downloads)
        self.server.waiting.release()
        self.server.go_on.wait(60)
        self.send_response(200)
        self.send_header("Content-Length", "1")
        self.end_headers()
        self.wfile.write(b"x")

    def log_message(self, *words: object) -> None:
        pass


@contextmanager
def downloads() -> Generator[Downloads]:
    with Downloads() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server
        finally:
            server.go_on.set()
            server.shutdown()
            thread.join()


def test_two_hundred_steps_at_once(
    buildkitd: BuildkitdService, buildctl: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    """P12: as many rows as there is space for, each whole, drawn in place; at the end all of them.

    The steps are downloads, as two hundred containers at once are too much for a small machine.
    """
    columns, rows = size
    run = uuid.uuid4().hex[:8]
    with downloads() as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/{run}"
        steps = [llb.http(f"{url}/{number:03}/{'part/' * 40}") for number in range(200)]
        (tmp_path / "graph").write_bytes(llb.merge(*steps).marshal().to_bytes())
        with both_building(tmp_path, size, buildctl, buildkitd.address, f"< {tmp_path}/graph") as panes:
            for _ in steps:
                assert server.waiting.acquire(timeout=60)
            panes.wait_for(r"\(0/201\)$")
            theirs, ours = panes.full(rows - 1)  # one is left for the cursor
            for row in ours[1:]:
                assert re.fullmatch(rf" => {re.escape(url)}/\d{{3}}/[part/]+  +\d+\.\ds", row), row
            assert len({row[:60] for row in ours}) == len(ours)
            assert {len(row) for row in (*ours[1:], *theirs[1:])} == {columns - 1}
            server.go_on.set()
            panes.wait_for(r"^code 0$")
            theirs, ours = (shape(screen, columns) for screen in panes.everything())
            assert ours == theirs
            assert ours[0] == "[+] Building (201/201) FINISHED"
            assert sum(f" => {url}/" in row for row in ours) == 200

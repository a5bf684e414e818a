"""A frontend's process: started as the daemon starts it, with a gateway of ours on its standard input and output."""

from __future__ import annotations

import textwrap
import time
from pathlib import Path

import anyio
import grpc
import pytest

from pybuildkit.details import SourceError, Stack
from pybuildkit.llb import Definition
from tests.support.fakebridge import FakeBridge, Finished, metadata_json, solves

pytestmark = pytest.mark.anyio

HEAD = """
import asyncio, os, sys, threading, time
from pybuildkit import llb
from pybuildkit.errors import *
from pybuildkit.frontend import *

"""

TAIL = """
if __name__ == "__main__":
    build.run()
"""


def write(folder: Path, body: str) -> Path:
    program = folder / "program.py"
    program.write_text(HEAD + textwrap.dedent(body) + TAIL)
    return program


async def run(
    folder: Path, body: str, bridge: FakeBridge | None = None, options: dict[str, str] | None = None
) -> tuple[FakeBridge, Finished]:
    """Run a program to its end."""
    bridge = bridge or FakeBridge()
    async with bridge.running(folder / "s") as path:
        process = bridge.start(path, write(folder, body), options)
        return bridge, await process.finished()


async def test_a_function_gives_a_graph_and_it_becomes_the_result(tmp_path: Path) -> None:
    body = """
    @frontend
    async def build(gateway: Gateway):
        name = gateway.options["build-arg:NAME"]
        assert gateway.session == "session1"
        assert [str(p) for p in gateway.workers[0].platforms] == ["linux/amd64"]
        return llb.scratch().mkfile("/hello", f"Hello {name}")
    """
    bridge, done = await run(tmp_path, body, options={"build-arg:NAME": "a=b", "source": "x"})
    assert (done.code, done.stderr) == (0, "")
    assert bridge.returned is not None
    assert bridge.returned.result.ref.id == "ref1"
    [solve] = solves(bridge)
    graph = Definition.from_bytes(solve.Definition.SerializeToString())
    assert "Hello a=b" in str(graph.ops)
    assert not graph.files, "lines of the frontend's program are nothing to its users"


async def test_what_the_function_prints_goes_to_the_daemons_log(tmp_path: Path) -> None:
    """V60: standard output is the connection; a byte in it that is no frame would be the end of the build."""
    body = """
    @frontend
    async def build(gateway):
        print("printed")
        os.write(1, b"written\\n")
        os.system("echo by a child; cat")
        assert sys.stdin.read() == ""
    """
    bridge, done = await run(tmp_path, body)
    assert done.code == 0
    assert sorted(done.stderr.splitlines()) == ["by a child", "printed", "written"]
    assert bridge.returned is not None
    assert bridge.returned.result.ref.id == ""


async def test_an_error_with_source_lines_reaches_the_daemon_whole(tmp_path: Path) -> None:
    """C51, C54, C60: the text, the file with its lines, and the Python lines."""
    body = """
    @frontend
    async def build(gateway):
        main = await Inputs(gateway).main_file("service.yaml", language="YAML")
        raise main.error("no such key: bse", (1, 2))
    """
    text = b"bse: python\nx: 1\n"
    bridge, done = await run(tmp_path, body, FakeBridge(files={"service.yaml": text}))
    assert (done.code, done.stderr) == (1, "")
    code, message, details = bridge.error
    assert (code, message) == (2, "no such key: bse")
    [source] = [detail for detail in details if isinstance(detail, SourceError)]
    assert (source.info.filename, source.info.data, source.info.language) == ("service.yaml", text, "YAML")
    assert source.info.definition
    assert source.line == 1
    [stack] = [detail for detail in details if isinstance(detail, Stack)]
    assert stack.frames[0].name == "build"


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("raise KeyError('x')", "KeyError: 'x' (program.py line 10, in build)"),
        ("raise ValueError", "ValueError (program.py line 10, in build)"),
        ("raise ConfigError('no such thing')", "no such thing"),
        ("sys.exit(7)", "the frontend's function called sys.exit(7) (program.py line 10, in build)"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt (program.py line 10, in build)"),
        ("raise asyncio.CancelledError", "CancelledError (program.py line 10, in build)"),
        (
            "return 5",
            "the frontend's function gave int; it must give a GatewayResult, a reference, a state or None",
        ),
        ("raise ExceptionGroup('two', [KeyError('a'), ConfigError('the cause')])", "the cause"),
        ("raise FrontendError('\\ud800')", "?"),
    ],
    ids=["any", "empty", "ours", "exit", "interrupt", "cancel", "kind", "group", "surrogate"],
)
async def test_whatever_ends_the_function_is_told_and_named(
    tmp_path: Path, statement: str, message: str
) -> None:
    body = f"""
    @frontend
    async def build(gateway):
        {statement}
    """
    bridge, done = await run(tmp_path, body)
    assert done.code == 1
    assert bridge.error[1] == message


async def test_a_failed_step_is_one_of_the_usual_errors_and_is_passed_on_without_our_advice(
    tmp_path: Path,
) -> None:
    words = 'process "/bin/sh -c false" did not complete successfully: exit code: 127'
    body = """
    @frontend
    async def build(gateway):
        try:
            await gateway.solve(llb.image("alpine").run("false"), evaluate=True)
        except ExecError as exc:
            assert exc.exit_code == 127 and "PATH" in str(exc)
            raise
    """
    bridge, done = await run(tmp_path, body, FakeBridge({"Solve": (grpc.StatusCode.UNKNOWN, words)}))
    assert done.code == 1
    assert bridge.error[1] == words


async def test_an_error_that_is_too_large_is_told_in_short(tmp_path: Path) -> None:
    body = """
    @frontend
    async def build(gateway):
        raise FrontendError("x" * (20 << 20))
    """
    bridge, done = await run(tmp_path, body)
    assert done.code == 1
    assert bridge.error[1] == "x" * (64 << 10)
    assert "does not take the error" in done.stderr


async def test_a_result_that_the_daemon_refuses_is_an_error(tmp_path: Path) -> None:
    body = """
    @frontend
    async def build(gateway):
        pass
    """
    refusals = iter([(grpc.StatusCode.UNKNOWN, "return reference not found")])
    bridge = FakeBridge({"Return": lambda _: next(refusals, b"")})
    bridge, done = await run(tmp_path, body, bridge)
    assert done.code == 1
    assert bridge.error[1] == "return reference not found"


async def test_a_daemon_that_goes_away_ends_the_process_and_not_before_it_could_clean_up(
    tmp_path: Path,
) -> None:
    body = """
    @frontend
    async def build(gateway):
        try:
            await gateway.solve(llb.scratch().mkdir("/x"))
        finally:
            print("cleaned up")
    """
    bridge = FakeBridge({"Solve": None})
    async with bridge.running(tmp_path / "s") as path:
        process = bridge.start(path, write(tmp_path, body))
        await bridge.called("Solve")
        await bridge.stop()
        done = await process.finished()
    assert done.code == 1
    assert "cleaned up" in done.stderr
    assert "gone away" in done.stderr or "could not be told" in done.stderr


async def test_a_function_that_does_not_stop_can_not_keep_the_process_when_the_daemon_is_gone(
    tmp_path: Path,
) -> None:
    body = """
    import pybuildkit.frontend.run
    pybuildkit.frontend.run.GRACE = 0.2

    @frontend
    async def build(gateway):
        await gateway.solve(llb.scratch().mkdir("/x"))
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
    """
    bridge = FakeBridge()
    async with bridge.running(tmp_path / "s") as path:
        process = bridge.start(path, write(tmp_path, body))
        await bridge.called("Solve")
        await bridge.stop()
        done = await process.finished()
    assert done.code == 1


async def test_a_thread_that_is_left_behind_does_not_hold_up_the_build(tmp_path: Path) -> None:
    body = """
    @frontend
    async def build(gateway):
        threading.Thread(target=time.sleep, args=(60,)).start()
        asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)
    """
    started = time.monotonic()
    _, done = await run(tmp_path, body)
    assert done.code == 0
    assert time.monotonic() - started < 20


async def test_exit_in_a_task_of_the_function_leaves_an_exit_code_and_a_trace(tmp_path: Path) -> None:
    """asyncio lets SystemExit end the loop: there is nobody left to tell the daemon, who names the code."""
    body = """
    async def task():
        sys.exit(3)

    @frontend
    async def build(gateway):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(task())
            await asyncio.sleep(60)
    """
    bridge, done = await run(tmp_path, body)
    assert done.code == 1
    assert bridge.returned is None
    assert "without an answer" in done.stderr
    assert "SystemExit: 3" in done.stderr


async def test_outside_of_a_container_it_says_what_it_is(tmp_path: Path) -> None:
    body = """
    @frontend
    async def build(gateway):
        pass
    """
    program = write(tmp_path, body)
    done = await anyio.run_process(
        [
            "env",
            f"PYTHONPATH={Path(__file__).parents[3]}",
            "BUILDKIT_SESSION_ID=",
            __import__("sys").executable,
            program,
        ],
        check=False,
    )
    assert done.returncode == 2
    assert b"build is a BuildKit frontend" in done.stderr
    assert b"run_frontend" in done.stderr
    assert not done.stdout


async def test_the_requests_of_a_frontend_describe_themselves(tmp_path: Path) -> None:
    """V77, V78."""
    body = """
    @frontend
    async def build(gateway):
        raise AssertionError

    @build.request("frontend.targets", description="List the services")
    async def targets(gateway):
        return subrequest_result({"targets": [{"name": "api"}]}, text="api\\n", statuscode="0")
    """
    bridge, done = await run(tmp_path, body, options={"requestid": "frontend.targets"})
    assert (done.code, done.stderr) == (0, "")
    assert bridge.returned is not None
    assert metadata_json(bridge.returned, "result.json") == {"targets": [{"name": "api"}]}
    assert bridge.returned.result.metadata["result.statuscode"] == b"0"

    bridge, _ = await run(tmp_path, body, options={"requestid": "frontend.subrequests.describe"})
    assert bridge.returned is not None
    names = [entry["name"] for entry in metadata_json(bridge.returned, "result.json")]
    assert names == ["frontend.targets", "frontend.subrequests.describe"]
    text = bridge.returned.result.metadata["result.txt"].decode()
    assert text.splitlines()[:2] == [
        "NAME                 VERSION DESCRIPTION",
        "targets              1.0.0   List the services",
    ]

    bridge, _ = await run(tmp_path, body, options={"requestid": "frontend.outline"})
    code, message, details = bridge.error
    assert (code, message) == (12, "unsupported request frontend.outline")
    assert any(getattr(detail, "name", "") == "frontend.outline" for detail in details)


async def test_a_daemon_without_results_of_its_own_is_told_so(tmp_path: Path) -> None:
    body = """
    @frontend
    async def build(gateway):
        pass
    """
    bridge, done = await run(tmp_path, body, FakeBridge(caps=("solve.base",)))
    assert done.code == 1
    assert "capability return" in bridge.error[1]

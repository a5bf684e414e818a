"""The command line as people use it: a process, its streams, its files, its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from pybuildkit import llb
from pybuildkit.testing.service import BuildkitdService

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).parents[2]
HELLO = "FROM busybox AS work\nRUN echo hello > /greeting\nFROM scratch\nCOPY --from=work /greeting /\n"


class CLI:
    """Runs the command line against the daemon of the tests."""

    def __init__(self, address: str) -> None:
        self._env = {**os.environ, "BUILDKIT_HOST": address, "PYTHONPATH": str(REPOSITORY)}

    def start(self, *args: str, **env: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "pybuildkit", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**self._env, **env},
            cwd=REPOSITORY,
        )

    def run(self, *args: str, stdin: bytes = b"", **env: str) -> tuple[int, str, str]:
        with self.start(*args, **env) as process:
            out, err = process.communicate(stdin, timeout=60)
        return process.returncode, out.decode(), err.decode()


@pytest.fixture
def cli(buildkitd: BuildkitdService) -> CLI:
    return CLI(buildkitd.address)


@pytest.fixture
def context(tmp_path: Path) -> Path:
    folder = tmp_path / "ctx"
    folder.mkdir()
    (folder / "Dockerfile").write_text(HELLO)
    return folder


def frontend(context: Path) -> list[str]:
    return [
        "solve",
        "--frontend",
        "dockerfile.v0",
        f"--local=context={context}",
        f"--local=dockerfile={context}",
    ]


def test_info_and_workers(cli: CLI) -> None:
    code, out, _ = cli.run("info")
    assert code == 0
    assert "github.com/moby/buildkit v" in out
    assert json.loads(cli.run("info", "--format", "json")[1])["buildkitVersion"]["version"].startswith("v")
    code, out, _ = cli.run("workers")
    assert code == 0
    assert out.startswith("ID")
    assert "linux/" in out
    assert json.loads(cli.run("workers", "--format=json")[1])[0]["platforms"]
    assert "GC Policy rule#0" in cli.run("workers", "--verbose")[1]


def test_solve_writes_files_metadata_and_ref(cli: CLI, context: Path, tmp_path: Path) -> None:
    code, out, err = cli.run(
        *frontend(context),
        f"--output=type=local,dest={tmp_path}/out",
        f"--output=type=oci,dest={tmp_path}/image.tar",
        f"--metadata-file={tmp_path}/metadata.json",
        f"--ref-file={tmp_path}/ref",
        "--progress=plain",
    )
    assert (code, out) == (0, "")
    assert "#1 [internal] load build definition from Dockerfile" in err
    assert (tmp_path / "out" / "greeting").read_text() == "hello\n"
    metadata = json.loads((tmp_path / "metadata.json").read_text())
    assert metadata["containerimage.descriptor"]["digest"] == metadata["containerimage.digest"]
    assert len((tmp_path / "ref").read_text()) == 25


def test_build_a_directory(cli: CLI, context: Path, tmp_path: Path) -> None:
    secret = context / "Dockerfile"
    secret.write_text(
        "FROM busybox AS work\nARG WHO\nRUN --mount=type=secret,id=token echo $WHO $(cat /run/secrets/token) > /x\n"
        "FROM scratch\nCOPY --from=work /x /\n"
    )
    code, _, err = cli.run(
        "build",
        str(context),
        "--build-arg=WHO=me",
        "--secret=id=token,env=MY_TOKEN",
        "--progress=quiet",
        f"-otype=local,dest={tmp_path}/out",
        MY_TOKEN="s3cr3t",
    )
    assert (code, err) == (0, "")
    assert (tmp_path / "out" / "x").read_text() == "me s3cr3t\n"


def test_output_to_standard_output(cli: CLI, context: Path) -> None:
    import io

    with cli.start(*frontend(context), "--output=type=tar", "--progress=quiet") as process:
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        assert tar.getnames() == ["greeting"]


def test_a_graph_on_standard_input(cli: CLI, tmp_path: Path) -> None:
    graph = llb.scratch().mkfile("/made", b"by llb").marshal().to_bytes()
    code, _, err = cli.run("solve", f"-otype=local,dest={tmp_path}/out", "--progress=plain", stdin=graph)
    assert code == 0, err
    assert (tmp_path / "out" / "made").read_bytes() == b"by llb"
    code, _, err = cli.run("solve", stdin=b"")
    assert code == 1
    assert "--frontend" in err
    code, _, err = cli.run("solve", stdin=b"\xff\xff")
    assert code == 1
    assert "not an LLB definition" in err


def test_rawjson_is_alone_on_its_stream(cli: CLI, context: Path) -> None:
    """P4."""
    code, out, err = cli.run(*frontend(context), "--progress=rawjson")
    assert (code, out) == (0, "")
    batches = [json.loads(line) for line in err.splitlines()]
    assert any(v["name"].startswith("[internal]") for batch in batches for v in batch.get("vertexes", ()))


def test_a_failing_run_shows_its_lines(cli: CLI, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo the reason && exit 3\n")
    code, out, err = cli.run(*frontend(context), "--progress=plain")
    assert (code, out) == (1, "")
    assert "#5 ERROR: process" in err or "ERROR: process" in err
    assert "------\n > [2/2] RUN echo the reason && exit 3:" in err
    assert "   2 | >>> RUN echo the reason && exit 3" in err
    assert (
        'error: failed to solve: process "/bin/sh -c echo the reason && exit 3" did not complete successfully: exit code: 3'
        in err
    )
    assert "Traceback" not in err
    assert "solver/llbsolver" in cli.run("--debug", *frontend(context), "--progress=quiet")[2]


def test_a_quiet_failure_still_says_why(cli: CLI, context: Path) -> None:
    (context / "Dockerfile").write_text("FROM busybox\nRUN echo the reason && exit 3\n")
    err = cli.run(*frontend(context), "--progress=quiet")[2]
    assert "the reason" in err
    assert "exit code: 3" in err


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["solve", "--frontend", "nope"], "nope"),
        (["solve", "--frontend", "dockerfile.v0", "--local", "context"], "--local KEY=VALUE"),
        (["solve", "--frontend", "dockerfile.v0", "--local", "context=/no/such/dir"], "/no/such/dir"),
        (["solve", "--frontend", "dockerfile.v0", "-o", "dest=x"], "type"),
        (["solve", "--frontend", "dockerfile.v0", "--secret", "id=x,src=/no/such/file"], "/no/such/file"),
        (["solve", "--frontend", "dockerfile.v0", "--allow", "everything"], "everything"),
        (["build", "/no/such/dir"], "/no/such/dir"),
        (["build", "examples/hello", "--platform", "nonsense/"], "nonsense/"),
        (["--addr", "unix:///no/such.sock", "info"], "unix:///no/such.sock"),
        (["--addr", "nonsense", "info"], "nonsense"),
        (["--addr", "tcp://127.0.0.1:1", "info"], "tcp://127.0.0.1:1"),
    ],
)
def test_what_can_not_work_is_one_line_and_exit_code_1(cli: CLI, args: list[str], says: str) -> None:
    code, out, err = cli.run(*args, "--progress=quiet" if args[0] in ("solve", "build") else "--timeout=5")
    assert (code, out) == (1, "")
    assert says in err
    assert err.startswith("error: ")
    assert "Traceback" not in err


def test_wrong_usage_is_exit_code_2(cli: CLI) -> None:
    assert cli.run("solve", "--no-such-flag")[0] == 2
    assert cli.run()[0] == 2
    assert cli.run("--version")[1].startswith("pybuildkit ")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_build_in_the_daemon(cli: CLI, context: Path, number: int, code: int) -> None:
    """B49: within two seconds, and the step's process is gone."""
    mark = f"86{os.getpid()}{int(number)}"
    (context / "Dockerfile").write_text(f"FROM busybox\nRUN sleep {mark}\n")
    with cli.start(*frontend(context), "--progress=plain") as process:
        wait_for(lambda: processes_with(f"sleep\0{mark}"))
        process.send_signal(number)
        sent = time.monotonic()
        _, err = process.communicate(timeout=20)
        took = time.monotonic() - sent
    assert process.returncode == code
    assert b"CANCELED" in err
    assert b"Traceback" not in err
    assert took < 2
    wait_for(lambda: not processes_with(f"sleep\0{mark}"))


def test_a_failed_build_leaves_the_old_output(cli: CLI, context: Path, tmp_path: Path) -> None:
    """X16: buildctl truncates the file before it builds."""
    target = tmp_path / "image.tar"
    target.write_text("old")
    (context / "Dockerfile").write_text("FROM busybox\nRUN false\n")
    assert cli.run(*frontend(context), f"-otype=oci,dest={target}", "--progress=quiet")[0] == 1
    assert target.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir() if p.name != "ctx"] == ["image.tar"]


def processes_with(words: str) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_text()
            except OSError:
                continue
            if words in line and "Dockerfile" not in line:
                found.append(folder.name)
    return found


def wait_for(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)

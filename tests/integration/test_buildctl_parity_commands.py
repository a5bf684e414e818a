"""The same command line to buildctl and to us: what is asked of a daemon, and global flags (B1 to B16, B35 to B47)."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Generator
from pathlib import Path
from subprocess import PIPE

import pytest

from pybuildkit import Buildkitd, Client, _wire, llb
from pybuildkit.errors import ExecError
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdService
from tests.conftest import find_tool
from tests.support.parity import ROOT, Case, Sides

pytestmark = pytest.mark.integration

GRAPH = (
    llb.scratch()
    .mkdir("/d")
    .mkfile("/d/f", b"x")
    .copy(llb.image("busybox"), "/bin/sh", "/sh")
    .marshal()
    .to_bytes()
)
RUN = llb.image("busybox").run("echo x").marshal().to_bytes()


def without_places(definition: bytes) -> bytes:
    """Without the Python lines, which our dump shows and buildctl's does not (X23)."""
    return b"".join(
        _wire.field_bytes(n, v) for n, v in _wire.fields(definition) if n != 3 and isinstance(v, bytes)
    )


FIELDS = "{{range .}}{{.ID}} {{.Size}} {{.InUse}} {{.CreatedAt}} {{.RecordType}}{{println}}{{end}}"


@pytest.fixture(scope="module")
def builds(buildkitd: BuildkitdService) -> Generator[dict[str, str]]:
    """A build that went well, and one that did not; their refs, and a blob's digest."""
    good, bad = uuid.uuid4().hex[:25], uuid.uuid4().hex[:25]
    with Client(buildkitd.address) as client:
        client.history.prune()
        mounts = {"/c": llb.cache("parity")}
        client.solve(llb.image("busybox").run(f"echo {good}", mounts=mounts), ref=good)
        with pytest.raises(ExecError):
            client.solve(llb.image("busybox").run(f"echo {bad}; exit 3"), ref=bad)
        for ref in (good, bad):
            client.history.finalize(ref)
            client.history.pin(ref)
        record = client.history.get(good)
        assert record.logs is not None
        yield {"good": good, "bad": bad, "digest": record.logs.digest}


@pytest.fixture
def sides(
    buildctl: Path, buildkitd: BuildkitdService, registry: Registry, tmp_path: Path, builds: dict[str, str]
) -> Sides:
    (tmp_path / "graph").write_bytes(without_places(GRAPH))
    names = {"dir": tmp_path, "addr": buildkitd.address, **builds}
    return Sides(buildctl, buildkitd.address, tmp_path, names)


COMMANDS = [
    Case("du", command="du"),
    Case("du-verbose", ("-v",), command="du"),
    Case("du-filter", ("-f", "type==exec.cachemount"), command="du"),
    Case("du-filters", ("--filter=type==exec.cachemount", "--filter=id==none"), command="du"),
    Case("du-filter-nothing", ("--filter=id==none", "--verbose"), command="du"),
    Case("du-filter-broken", ("--filter=(",), command="du", code=1),
    Case("du-json", ("--format=json",), command="du"),
    Case("du-template", ("--format", FIELDS), command="du"),
    Case(
        "du-template-used",
        ("--format={{range .}}{{.LastUsedAt}}|{{.Parents}}|{{.Description}}{{end}}",),
        command="du",
    ),
    Case("du-template-broken", ("--format={{",), command="du", code=1),
    Case("du-template-no-field", ("--format={{.Nope}}",), command="du", code=1),
    Case("prune-nothing", ("--filter=id==none",), command="prune"),
    Case(
        "prune-keep",
        ("--keep-duration=1h30m", "--keep-storage=100.5", "--keep-storage-min=1", "--filter=id==none"),
        command="prune",
    ),
    Case("prune-free", ("--free-storage=1", "--filter=id==none", "--all", "-v"), command="prune"),
    Case("prune-duration-broken", ("--keep-duration=soon",), command="prune", code=1),
    Case("workers", command="debug workers"),
    Case("workers-verbose", ("--verbose",), command="debug workers"),
    Case("workers-filter", ("-f", "platform==linux/none"), command="debug workers"),
    Case("workers-json", ("--format=json",), command="debug workers"),
    Case(
        "workers-template",
        ("--format={{range .}}{{.Labels}} {{.GCPolicy}} {{.Platforms}}{{end}}",),
        command="debug workers",
    ),
    Case("info", command="debug info"),
    Case("info-json", ("--format=json",), command="debug info"),
    Case("info-template", ("--format={{.BuildkitVersion.Package}}",), command="debug info"),
    Case("histories", command="debug histories"),
    Case("histories-json", ("--format=json",), command="debug histories"),
    Case(
        "histories-template",
        ("--format={{.Type}} {{.Record.Ref}} {{.Record.NumTotalSteps}}",),
        command="debug histories",
    ),
    Case("logs", ("--progress=plain", "{good}"), command="debug logs"),
    Case("logs-of-a-failure", ("{bad}", "--progress=plain"), command="debug logs"),
    Case("logs-rawjson", ("--progress=rawjson", "{good}"), command="debug logs"),
    Case("logs-quiet", ("--progress=quiet", "{good}"), command="debug logs"),
    Case("logs-trace", ("--trace", "{good}"), command="debug logs"),
    Case("logs-without-ref", command="debug logs", code=(1, 2), same=""),
    Case("get", ("{digest}",), command="debug get"),
    Case("get-no-digest", ("latest",), command="debug get", code=1),
    Case("get-missing", (f"sha256:{'0' * 64}",), command="debug get", code=1),
    Case("ctl-pin", ("--pin", "{good}"), command="debug ctl"),
    Case("ctl-unpin", ("{good}", "--unpin"), command="debug ctl"),
    Case("ctl-missing", ("--pin", "none"), command="debug ctl", code=1),
    Case("ctl-both", ("--pin", "--delete", "{good}"), command="debug ctl", code=(1, 2), same=""),
    Case("ctl-neither", ("{good}",), command="debug ctl", code=(1, 2), same=""),
    Case("dump-llb", ("{dir}/graph",), command="debug dump-llb"),
    Case("dump-llb-stdin", stdin=without_places(RUN), command="debug dump-llb"),
    Case("dump-llb-dash", ("-",), stdin=without_places(GRAPH), command="debug dump-llb"),
    Case("dump-llb-dot", ("--dot", "{dir}/graph"), command="debug dump-llb", same=""),
    Case("dump-llb-rubbish", stdin=b"\xff", command="debug dump-llb", code=1),
    Case("dump-llb-missing", ("{dir}/none",), command="debug dump-llb", code=1, says="none"),
    Case("addr", ("--addr={addr}", "debug", "info"), command="", env={"BUILDKIT_HOST": "unix:///none.sock"}),
    Case(
        "addr-dead",
        ("--addr=unix:///no/such.sock", "debug", "info"),
        command="",
        code=1,
        says="/no/such.sock",
    ),
    Case(
        "addr-from-env",
        command="debug info",
        env={"BUILDKIT_HOST": "unix:///no/such.sock"},
        code=1,
        says="/no/such.sock",
    ),
    Case("timeout", ("--timeout=60", "debug", "info"), command=""),
    Case("wait", ("--wait", "debug", "info"), command=""),
    Case(
        "wait-in-vain",
        ("--wait", "--timeout=1", "--addr=unix:///no/such.sock", "debug", "info"),
        command="",
        code=1,
    ),
    Case("debug", ("--debug", "debug", "info"), command=""),
    Case("log-format", ("--log-format=json", "debug", "info"), command=""),
    Case("log-format-unknown", ("--log-format=zz", "debug", "info"), command="", code=(1, 2), same=""),
    Case("tls-dir-missing", ("--tlsdir={dir}/none", "debug", "info"), command="", code=1, says="none"),
    Case(
        "tls-twice", ("--tlsdir={dir}", "--tlscacert=x", "debug", "info"), command="", code=1, says="--tlsdir"
    ),
    Case("tls-key-without-cert", ("--tlskey=x", "debug", "info"), command="", code=1),
    Case("tls-ca-missing", ("--tlscacert={dir}/none", "debug", "info"), command="", code=1, says="tls"),
    Case("unknown-command", ("nonsense",), command="", code=(3, 2), same=""),
    Case("help", ("--help",), command="debug workers", same=""),
    Case("version", ("--version",), command="", same=""),
]


@pytest.mark.parametrize("case", COMMANDS, ids=str)
def test_commands(sides: Sides, case: Case) -> None:
    sides.check(case)


PRUNES = {
    "table": (),
    "verbose": ("--verbose",),
    "template": ("--format={{.RecordType}} {{.Mutable}} {{.Size}}",),
    "json": ("--format=json",),
}


@pytest.mark.parametrize("how", PRUNES)
def test_pruned_records_are_printed_alike(sides: Sides, buildkitd: BuildkitdService, how: str) -> None:
    """B36: each side prunes a cache mount of the same size."""
    outputs = []
    for side in ("theirs", "ours"):
        name = uuid.uuid4().hex
        with Client(buildkitd.address) as client:
            before = {r.id for r in client.disk_usage(filters="type==exec.cachemount")}
            client.solve(llb.image("busybox").run(f"echo {name} > /c/x", mounts={"/c": llb.cache(name)}))
            (new,) = (r.id for r in client.disk_usage(filters="type==exec.cachemount") if r.id not in before)
        done = sides.side(Case("prune", (*PRUNES[how], f"--filter=id=={new}"), command="prune"), side)
        assert done.code == 0
        text = done.stdout.decode().replace(new, "I" * len(new)).replace(name, "NAME")
        text = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+( \+0000 UTC|Z)", "TIME", text)
        outputs.append(re.sub(r"[a-z0-9]{25}", "PARENT", text))
    assert outputs[0] == outputs[1]
    assert outputs[0].count("\n") >= 1


def test_prune_all(sides: Sides) -> None:
    theirs, ours = sides.run(Case("prune-all", ("--all",), command="prune"))
    assert (theirs.code, ours.code) == (0, 0)
    assert b"RECLAIMABLE" in theirs.stdout
    assert ours.stdout == b"Total:\t0B\n"
    sides.check(Case("du-of-nothing", command="du"))
    sides.check(Case("du-json-of-nothing", ("--format=json",), command="du"))


@pytest.mark.parametrize("how", ["table", "format"])
def test_prune_histories(sides: Sides, buildkitd: BuildkitdService, how: str) -> None:
    """B37: what is pinned stays, on both sides."""
    flags = () if how == "table" else ("--format={{.Type}} {{.Record.Generation}}",)
    shown = []
    for side in ("theirs", "ours"):
        pinned, other = (uuid.uuid4().hex[:25] for _ in range(2))
        with Client(buildkitd.address) as client:
            client.history.prune()
            for ref in (pinned, other):
                client.solve(llb.scratch().mkfile("/x", ref.encode()), ref=ref)
                client.history.finalize(ref)
            client.history.pin(pinned)
            done = sides.side(Case("prune-histories", flags, command="prune-histories"), side)
            assert done.code == 0
            left = [r.ref for r in client.history.list()]
            assert pinned in left
            assert other not in left
            client.history.delete(pinned)
        text = done.stdout.decode().replace(other, "REF")
        shown.append(re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", "TIME", text))
    assert shown[0] == shown[1]
    assert "COMPLETE" in shown[0]


@pytest.mark.parametrize("side", ["theirs", "ours"])
def test_dial_stdio(buildctl: Path, buildkitd: BuildkitdService, side: str) -> None:
    """B38: an HTTP/2 greeting goes in, the daemon's comes out; half-closing ends it."""
    program = [str(buildctl)] if side == "theirs" else [sys.executable, "-m", "pybuildkit"]
    greeting = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)
    with subprocess.Popen(
        [*program, "--addr", buildkitd.address, "dial-stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(greeting)
        process.stdin.flush()
        head = process.stdout.read(9)
        assert head[3] == 4  # SETTINGS
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert b"" in out


def test_dial_stdio_carries_a_client(buildkitd: BuildkitdService, tmp_path: Path) -> None:
    """What docker exec and ssh do: every connection to a socket starts one process."""
    path = tmp_path / "relay.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        command = [sys.executable, "-m", "pybuildkit", "--addr", buildkitd.address, "dial-stdio"]
        processes = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    processes.append(
                        subprocess.Popen(
                            command, stdin=connection.fileno(), stdout=connection.fileno(), cwd=ROOT
                        )
                    )

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with Client(f"unix://{path}") as client:
                assert client.info().version.startswith("v")
                result = client.solve(
                    llb.scratch().mkfile("/x", b"through a pipe"), outputs=f"type=local,dest={tmp_path}/out"
                )
                assert result.ref
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    for process in processes:
        assert process.wait(timeout=30) == 0
    assert (tmp_path / "out" / "x").read_bytes() == b"through a pipe"


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "unix:///no/such.sock"])
def test_dial_stdio_in_vain(buildctl: Path, address: str) -> None:
    for program in ([str(buildctl)], [sys.executable, "-m", "pybuildkit"]):
        done = subprocess.run(
            [*program, "--addr", address, "dial-stdio"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 1
        assert address.encode() in done.stderr or b"no/such.sock" in done.stderr


@pytest.mark.parametrize("command", [["debug", "monitor"], ["history", "follow"]])
def test_following(buildkitd: BuildkitdService, command: list[str]) -> None:
    """B40: what runs is told at once, and what happens when it happens; Ctrl-C ends it."""
    ref = uuid.uuid4().hex[:25]
    argv = [sys.executable, "-m", "pybuildkit", "--addr", buildkitd.address, *command]
    with Client(buildkitd.address) as client:
        slow = llb.image("busybox").run(f"echo {ref}; sleep 100")
        with client.stream(slow, ref=ref) as build, subprocess.Popen(argv, stdout=PIPE, cwd=ROOT) as process:
            assert process.stdout is not None
            lines: list[str] = []

            def read(last: str) -> None:
                """Up to that line; the daemon also tells of the traces of earlier builds that come late."""
                while not lines or last not in lines[-1]:
                    lines.append(process.stdout.readline().decode())  # type: ignore[union-attr]

            read(ref)
            build.cancel()
            read("logs:" if command[0] == "debug" else f"canceled  {ref}")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
    assert process.returncode == 130
    if command[0] == "debug":
        assert lines[0] == f"event: STARTED ref:{ref}\n"
        assert f"event: COMPLETE ref:{ref}\n" in lines
        assert "  cache: 0/2\n" in lines
        assert lines[-1].startswith("  logs: media_type:")
    else:
        assert [line.split()[1:] for line in (lines[0], lines[-1])] == [["started", ref], ["canceled", ref]]


def test_monitor_as_buildctl_has_it(
    sides: Sides, builds: dict[str, str], buildctl: Path, buildkitd: BuildkitdService
) -> None:
    """B40; protobuf's text form has one blank or two between fields, by chance."""
    shown = []
    for program in ([str(buildctl)], [sys.executable, "-m", "pybuildkit"]):
        with subprocess.Popen(
            [
                *program,
                "--addr",
                buildkitd.address,
                "debug",
                "monitor",
                "--completed",
                "--ref",
                builds["bad"],
            ],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        ) as process:
            time.sleep(1)
            process.send_signal(signal.SIGINT)
            out = process.communicate(timeout=30)[0].decode()
        shown.append(re.sub("(?<=[^ ]) +", " ", out))
    assert shown[0] == shown[1]
    assert builds["bad"] in shown[0]


def test_history_commands(sides: Sides, buildkitd: BuildkitdService, tmp_path: Path) -> None:
    """What buildctl has not: the history commands, on the records of one build."""
    ref = uuid.uuid4().hex[:25]
    with Client(buildkitd.address) as client:
        client.solve(llb.image("busybox").run(f"echo {ref}"), ref=ref)

    def run(*args: str) -> str:
        done = sides.side(Case("", args, command="history"), "ours")
        assert done.code == 0, done.stderr
        return done.stdout.decode()

    assert run("ls", "--quiet", "--limit", "1") == f"{ref}\n"
    assert f"{ref}\tcompleted" in run("ls", "--filter", f"ref=={ref}")
    assert json.loads(run("ls", "--filter", f"ref=={ref}", "--format", "json"))["Ref"] == ref
    assert re.search(rf"^#2 \d+\.\d+ {ref}$", run("logs", "--progress=plain", ref[:20]), re.MULTILINE)
    text = run("inspect")
    assert f"Ref:       {ref}" in text
    assert "https://slsa.dev/provenance/v1" in text
    provenance = json.loads(run("inspect", ref, "--attachment", "https://slsa.dev/provenance/v1"))
    assert provenance["buildDefinition"]
    assert json.JSONDecoder().raw_decode(run("trace", ref))[0]["Name"]
    run("pin", ref)
    assert run("rm", "--all", "--filter", f"ref=={ref}") == ""
    run("unpin", ref[:20])
    assert run("rm", "--all", "--filter", f"ref=={ref}") == f"{ref}\n"
    gone = sides.side(Case("", ("inspect", ref), command="history"), "ours")
    assert gone.code == 1
    assert ref in gone.stderr
    failed = sides.side(Case("", ("inspect", "{bad}"), command="history"), "ours")
    assert "Error: process" in failed.stdout.decode()
    for args in (("rm",), ("rm", ref, "--all"), ("inspect", "{bad}", "--attachment=none")):
        assert sides.side(Case("", args, command="history"), "ours").code == 1


def test_the_metadata_of_a_stopped_daemon(buildctl: Path, registry: Registry, tmp_path: Path) -> None:
    """B46; while the daemon runs, both say that the file is in use."""
    daemon = Buildkitd(find_tool("buildkitd"), root=tmp_path / "root", mirrors={"docker.io": [registry.url]})
    programs = ([str(buildctl)], [sys.executable, "-m", "pybuildkit"])

    def dump(program: list[str], root: Path) -> subprocess.CompletedProcess[bytes]:
        command = [*program, "debug", "dump-metadata", "--root", str(root)]
        return subprocess.run(command, capture_output=True, cwd=ROOT, check=False)

    with daemon:
        with Client(daemon.address) as client:
            state = llb.scratch()
            for number in range(60):
                state = state.mkfile(f"/{number}", b"").dir("/")
                state = state.mkdir(f"/d{number}")
            client.solve(llb.image("busybox").run("echo x").dir("/").copy(state, "/", "/"))
        assert [dump(program, tmp_path / "root").returncode for program in programs] == [1, 1]
    theirs, ours = (dump(program, tmp_path / "root") for program in programs)
    assert (theirs.returncode, ours.returncode) == (0, 0)
    assert ours.stdout == theirs.stdout
    assert theirs.stdout.count(b"bucket ") > 30
    theirs, ours = (dump(program, tmp_path / "none") for program in programs)
    assert (theirs.returncode, ours.returncode) == (1, 1)
    assert b"none" in ours.stderr

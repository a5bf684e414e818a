"""Containers of gateway builds: processes with their streams, terminals, signals, and files read inside (V70 to V73)."""

from __future__ import annotations

import signal
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from anyio.streams.text import TextReceiveStream

from pybuildkit import AsyncClient, Client, llb
from pybuildkit.details import Solve
from pybuildkit.errors import BuildError, ConfigError, EntitlementError, ExecError, NotFound, SecretNotFound
from pybuildkit.gateway import Container, GatewayBuild, ResultMount

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

BUSYBOX = llb.image("busybox")


@asynccontextmanager
async def waiting(gateway: GatewayBuild, mounts: Any = BUSYBOX, **options: Any) -> AsyncGenerator[Container]:
    """A container whose first process waits, so that others can run in it."""
    async with gateway.container(mounts, **options) as container, container.start(["sleep", "60"]):
        yield container


async def test_run(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway, waiting(gateway) as container:
        done = await container.run(["sh", "-c", "echo out; echo err >&2; cat"], input=b"in\n")
        assert (done.exit_code, done.stdout, done.stderr) == (0, b"out\nin\n", b"err\n")
        big = b"0123456789abcdef" * 60_000
        assert (await container.run(["cat"], input=big)).stdout == big
        assert (await container.run(["true"], input=big)).stdout == b""


async def test_what_a_container_is_made_of(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V70: references, states, caches, memory, secrets, hosts; what a process gets over the container's own."""
    async with buildkit.gateway(secrets={"token": b"s3cret"}) as gateway:
        made = await gateway.solve(BUSYBOX.run("mkdir -p /tree/sub && echo deep > /tree/sub/f"))
        mounts = {
            "/": made.ref,
            "/sub": made.ref.mount(readonly=True, selector="/tree/sub"),
            "/state": llb.scratch().mkfile("/g", data=b"from a state"),
            "/empty": llb.scratch(),
            "/cache": llb.cache(f"gateway-{tmp_path.name}", sharing="locked"),
            "/mem": llb.tmpfs(),
            "/run/token": llb.secret("token", mode=0o440, uid=5),
        }
        options = {"hostname": "zap", "extra_hosts": {"far": "10.1.2.3"}, "env": {"A": "1", "B": "1"}}
        async with waiting(gateway, mounts, cwd="/tmp", **options) as container:

            async def shell(script: str, **options: Any) -> str:
                return (await container.run(["sh", "-c", script], **options)).stdout.decode().strip()

            assert await shell("cat /sub/f /state/g") == "deep\nfrom a state"
            assert await shell("touch /sub/new || echo no") == "no"
            assert await shell("ls /empty | wc -l; touch /empty/x /cache/x /mem/x && echo ok") == "0\nok"
            assert await shell("cat /run/token; stat -c ' %a %u' /run/token") == "s3cret 440 5"
            assert await shell("hostname; grep far /etc/hosts") == "zap\n10.1.2.3\tfar"
            assert await shell("echo $A $B; pwd; id -u", env={"B": "2"}) == "1 2\n/tmp\n0"
            assert await shell("pwd; id -u; id -g", cwd="/sub", user="7:8") == "/sub\n7\n8"
            assert (await shell("echo $T", secret_env={"T": "token"})) == "s3cret"
            assert (await shell("echo .$T.", secret_env={"T": llb.secret("none", optional=True)})) == ".."
        async with waiting(gateway, network="none") as container:
            assert (await container.run(["ls", "/sys/class/net"])).stdout == b"lo\n"


async def test_writes_stay_in_the_container(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway:
        ref = (await gateway.solve(BUSYBOX.run("echo old > /f"))).ref
        async with waiting(gateway, ref) as container:
            await container.run(["sh", "-c", "echo new > /f"])
            assert (await container.run(["cat", "/f"])).stdout == b"new\n"
        assert await ref.read_file("/f") == b"old\n"
        async with waiting(gateway, ref) as container:
            assert (await container.run(["cat", "/f"])).stdout == b"old\n"


async def test_live_output(buildkit: AsyncClient) -> None:
    """What is printed is there before the process ends."""
    script = "for i in 1 2 3; do echo line $i; sleep 0.2; done"
    async with buildkit.gateway() as gateway, gateway.container(BUSYBOX) as container:
        async with container.start(["sh", "-c", script], stderr=False) as process:
            times = [(time.monotonic(), text) async for text in TextReceiveStream(process.stdout)]
            assert await process.wait() == 0
        assert "".join(text for _, text in times) == "line 1\nline 2\nline 3\n"
        assert times[-1][0] - times[0][0] > 0.3
        with pytest.raises(ConfigError, match="no errors of its own"):
            _ = process.stderr
        with pytest.raises(ConfigError, match="no input"):
            _ = process.stdin


async def test_talking_to_a_process(buildkit: AsyncClient) -> None:
    async with (
        buildkit.gateway() as gateway,
        gateway.container(BUSYBOX) as container,
        container.start(["sh"], stdin=True) as process,
    ):
        for number in (1, 2):
            await process.stdin.send(b"echo got %d\n" % number)
            assert await process.stdout.receive() == b"got %d\n" % number
        await process.stdin.send(b"echo 123456\n")
        assert await process.stdout.receive(3) == b"123"
        assert await process.stdout.receive() == b"456\n"
        await process.stdin.aclose()
        assert await process.wait() == 0
        assert process.ended
        with pytest.raises(anyio.EndOfStream):
            await process.stdout.receive()
        with pytest.raises(anyio.ClosedResourceError):
            await process.stdin.send(b"late")


async def test_a_terminal(buildkit: AsyncClient) -> None:
    """V71: its size, which arrives when the daemon has got it through, its input echoed, its exit code."""
    script = "until [ \"$(stty size)\" = '33 99' ]; do sleep 0.05; done; tty; echo $TERM; read x; exit $x"
    async with (
        buildkit.gateway() as gateway,
        gateway.container(BUSYBOX) as container,
        container.start(["sh", "-c", script], stdin=True, tty=True) as process,
    ):
        await process.resize(33, 99)
        shown = ""
        async for text in TextReceiveStream(process.stdout):
            shown += text
            if "xterm" in shown:
                break
        assert "/dev/pts/0\r\n" in shown
        await process.stdin.send(b"3\n")
        assert b"".join([chunk async for chunk in process.stdout]) == b"3\r\n"
        assert await process.wait() == 3
        with pytest.raises(ConfigError, match="negative"):
            await process.resize(-1, 2)


async def test_signals(buildkit: AsyncClient) -> None:
    """V73: a name, or Python's own."""
    trap = "trap 'echo caught; exit 9' HUP; echo ready; while :; do sleep 0.05; done"
    async with buildkit.gateway() as gateway:
        for how in ("HUP", "sighup", signal.SIGHUP):
            async with (
                gateway.container(BUSYBOX) as container,
                container.start(["sh", "-c", trap]) as process,
            ):
                assert await process.stdout.receive() == b"ready\n"
                await process.signal(how)
                assert await process.stdout.receive() == b"caught\n"
                assert await process.wait() == 9
                await process.signal(how)  # late, and of no consequence
        async with (
            gateway.container(BUSYBOX) as container,
            container.start(["sh", "-c", "echo up; sleep 60"]) as process,
        ):
            await process.stdout.receive()
            with pytest.raises(ConfigError, match="does not exist"):
                await process.signal("NOPE")
            await process.kill()
            assert await process.wait() == 137


def running(mark: str) -> bool:
    """Whether a process with that in its command runs on this machine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"sleep\0{mark}".encode() in (folder / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


async def test_leaving_the_block_kills_the_process(buildkit: AsyncClient) -> None:
    mark = f"{time.time_ns() % 10**9}77"
    async with buildkit.gateway() as gateway, gateway.container(BUSYBOX) as container:
        async with container.start(["sleep", mark], stdin=True) as process:
            while not await anyio.to_thread.run_sync(running, mark):  # noqa: ASYNC110 - there is no event for it
                await anyio.sleep(0.02)
        assert process.exit_code in (137, -1)
        assert not await anyio.to_thread.run_sync(running, mark)
        with pytest.raises(ConfigError, match=f"first process, sleep {mark}, ended with exit code"):
            await container.run(["true"])


async def test_exit_codes(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway:
        async with gateway.container(BUSYBOX) as container:
            done = await container.run(["sh", "-c", "echo hm; exit 7"], check=False)
            assert (done.exit_code, done.stdout) == (7, b"hm\n")
        async with gateway.container(BUSYBOX) as container:
            with pytest.raises(ExecError) as caught:
                await container.run(["sh", "-c", "echo it is broken; exit 7"])
            assert caught.value.exit_code == 7
            assert caught.value.argv == ("sh", "-c", "echo it is broken; exit 7")
            assert "it is broken" in str(caught.value)
        async with gateway.container(BUSYBOX) as container:
            with pytest.raises(ExecError, match="no-such-command"):
                await container.run(["no-such-command"])


async def test_the_first_failure_ends_a_container(buildkit: AsyncClient) -> None:
    """A fact of the daemon: its error group ends everything with the code of the first that failed."""
    async with (
        buildkit.gateway() as gateway,
        gateway.container(BUSYBOX) as container,
        container.start(["sleep", "60"]) as first,
    ):
        assert (await container.run(["sh", "-c", "exit 5"], check=False)).exit_code == 5
        assert await first.wait() != 0
        with pytest.raises(
            ConfigError,
            match="the container has ended",
        ):
            await container.run(["true"])


async def test_input_that_is_not_read(buildkit: AsyncClient) -> None:
    """It holds up nobody else, and its end is not an error of the process; the daemon says Done before Exit then."""
    async with buildkit.gateway() as gateway, waiting(gateway) as container:
        async with container.start(["sleep", "1.5"], stdin=True) as deaf, anyio.create_task_group() as tasks:

            async def talk() -> None:
                with suppress(anyio.BrokenResourceError):  # the daemon may swallow it, too
                    await deaf.stdin.send(b"x" * (8 << 20))

            tasks.start_soon(talk)
            for _ in range(3):
                done = await container.run(["cat"], input=b"heard")
                assert done.stdout == b"heard"
            assert not deaf.ended
            assert await deaf.wait() == 0
        assert (await container.run(["echo", "still"])).stdout == b"still\n"


async def test_output_that_is_not_read_waits(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway, waiting(gateway) as container:
        async with container.start(["sh", "-c", "yes | head -c 30000000"], stderr=False) as process:
            for _ in range(3):
                assert (await container.run(["echo", "x"])).stdout == b"x\n"
            assert not process.ended
            size = 0
            async for chunk in process.stdout:
                size += len(chunk)
            assert size == 30_000_000
            assert await process.wait() == 0
        async with container.start(["sh", "-c", "yes | head -c 3000000"], stderr=False) as process:
            await process.stdout.aclose()  # nobody wants it: it is thrown away
            assert await process.wait() == 0


async def test_files(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V72: each path is looked up in the mount that it is in."""
    mounts = {
        "/": BUSYBOX.run(
            "mkdir /etc/deep && echo root > /etc/deep/f && ln -s f /etc/deep/l && ln -s /etc /abs"
        ),
        "/data": llb.scratch().mkfile("/f", data=b"data"),
        "/data/inner": llb.scratch().mkdir("/sel").mkfile("/sel/f", data=b"inner").mount(selector="/sel"),
        "/mem": llb.tmpfs(),
    }
    async with buildkit.gateway() as gateway, waiting(gateway, mounts) as container:
        assert await container.read_file("/etc/deep/f") == b"root\n"
        assert await container.read_file("/etc/../etc/deep/l") == b"root\n"
        assert await container.read_file("/data/f", 1, 2) == b"at"
        assert await container.read_file("/data/f", 2) == b"ta"
        assert await container.read_file("/data/inner/f") == b"inner"
        assert [entry.path for entry in await container.read_dir("/etc/deep")] == ["f", "l"]
        assert [entry.path for entry in await container.read_dir("/data/inner")] == ["f"]
        assert (await container.stat("/etc/deep/l")).size == 5
        assert (await container.stat("/abs")).linkname == "/etc"
        assert (await container.stat("/data")).is_dir
        await container.run(["sh", "-c", "echo later > /written; echo later > /data/written"])
        assert await container.read_file("/data/written") == b"later\n"
        for call in (container.read_file("/none"), container.stat("/none"), container.read_dir("/none")):
            with pytest.raises(NotFound, match="/none"):
                await call
        with pytest.raises(ConfigError, match="absolute"):
            await container.read_file("etc/deep/f")
        with pytest.raises(ConfigError, match="from outside"):
            await container.read_file("/mem/x")


async def test_secrets_that_can_not_be_had(buildkit: AsyncClient) -> None:
    """The daemon only says so when it is asked to; nothing hangs, and the container goes on."""

    def broken() -> bytes:
        raise OSError(5, "the vault is shut")

    async with buildkit.gateway(secrets={"broken": broken}) as gateway, waiting(gateway) as container:
        with anyio.fail_after(20):
            with pytest.raises(SecretNotFound) as missing:
                await container.run(["true"], secret_env={"X": "other"})
            assert missing.value.id == "other"
            with pytest.raises(BuildError, match="the vault is shut"):
                await container.run(["true"], secret_env={"X": "broken"})
        assert (await container.run(["echo", "on"])).stdout == b"on\n"


async def test_entitlements(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway:
        async with gateway.container(BUSYBOX) as container:
            with pytest.raises(EntitlementError):
                await container.run(["true"], security="insecure")
        async with gateway.container(BUSYBOX, network="host") as container:
            with pytest.raises(EntitlementError):
                await container.run(["true"])
    granted = ["security.insecure", "network.host"]
    async with (
        buildkit.gateway(entitlements=granted) as gateway,
        gateway.container(BUSYBOX, network="host") as container,
    ):
        done = await container.run(["grep", "CapEff", "/proc/self/status"], security="insecure")
        mask = int(done.stdout.split()[1], 16)
        assert mask >> 12 & 1, "CAP_NET_ADMIN is not there"


async def test_a_look_into_a_failed_step(buildkit: AsyncClient, tmp_path: Path) -> None:
    """C57, X31: the ids in the error are mounts of a container, as the step left them."""
    step = BUSYBOX.run(
        f": {tmp_path}; echo half > /made; exit 3", mounts={"/data": llb.scratch().mkfile("/d", data=b"d")}
    )
    async with buildkit.gateway() as gateway:
        with pytest.raises(ExecError) as caught:
            await gateway.solve(step, evaluate=True)
        solve = next(d for d in caught.value.details if isinstance(d, Solve))
        targets = [mount["dest"] for mount in solve.op["exec"]["mounts"]]
        mounts = dict(zip(targets, map(ResultMount, solve.mount_ids), strict=True))
        async with gateway.container(mounts) as container:
            assert await container.read_file("/made") == b"half\n"
            done = await container.run(["cat", "/made", "/data/d"])
            assert done.stdout == b"half\nd"


async def test_containers_that_can_not_work(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway:
        for mounts, why in (
            ({"/x": BUSYBOX}, "needs a root"),
            ({"/": BUSYBOX, "x": BUSYBOX}, "not absolute"),
            ({"/": 5}, "int can not be mounted"),
            ({"/": llb.tmpfs()}, "root of a container"),
            ({"/": BUSYBOX, "/t": llb.tmpfs(5)}, "does not limit"),
            ({"/": BUSYBOX, "/c": llb.cache("c", base=BUSYBOX)}, "base="),
        ):
            with pytest.raises(ConfigError, match=why):
                async with gateway.container(mounts):  # type: ignore[arg-type]
                    pass
        async with gateway.container(BUSYBOX) as container:
            for args in ("echo hi", [], [1]):
                with pytest.raises(ConfigError, match="must be a list of strings"):
                    await container.run(args)  # type: ignore[arg-type]
        with pytest.raises(ExecError):
            async with gateway.container(BUSYBOX.run("exit 3")):
                pass
        with pytest.raises(BuildError, match="not found"):
            async with gateway.container(ResultMount("nowhere")):
                pass


def test_the_blocking_twin(buildkit_client: Client) -> None:
    with buildkit_client.gateway() as gateway:
        ref = gateway.solve(BUSYBOX.run("echo f > /f")).ref
        with gateway.container({"/": ref.mount()}, hostname="zap") as container:
            assert container.id
            size = "until [ \"$(stty size)\" = '10 20' ]; do sleep 0.05; done; hostname; read x; exit $x"
            with container.start(["sh", "-c", size], stdin=True, tty=True) as process:
                process.resize(10, 20)
                shown = b""
                while b"zap" not in shown:
                    shown += process.stdout.receive()
                assert process.exit_code is None
                assert container.run(["cat", "/f"]).stdout == b"f\n"
                assert container.read_file("/f") == b"f\n"
                assert container.stat("/f").size == 2
                assert "f" in [entry.path for entry in container.read_dir("/")]
                process.stdin.send(b"4\n")
                shown += b"".join(process.stdout)
                assert process.wait() == 4
                assert process.ended
                assert process.args == ("sh", "-c", size)
                process.stdin.close()
        script = ["sh", "-c", "echo up; sleep 60"]
        with gateway.container(ref) as container, container.start(script) as process:
            assert process.stdout.receive() == b"up\n"
            process.signal("KILL")
            process.kill()
            assert process.wait() == 137
            assert list(process.stdout) == list(process.stderr) == []
            process.stderr.close()

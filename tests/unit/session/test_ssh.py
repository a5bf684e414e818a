"""The SSH service, called as the daemon calls it, with OpenSSH's agent behind it."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest

from pybuildkit import _agentwire as agentwire
from pybuildkit import _wire
from pybuildkit.errors import ConfigError
from pybuildkit.session.calls import Code, Status
from pybuildkit.session.ssh import CHECK_AGENT, FORWARD_AGENT, SSHService
from pybuildkit.session.sshagents import CHUNK, open_agents
from pybuildkit.ssh import SSHAgent
from tests.support import fakedaemon
from tests.support.fakedaemon import DaemonCall, FakeDaemon, fake_daemon
from tests.support.sshagents import make_key, running_agent, ssh_add

LIST = bytes([agentwire.REQUEST_IDENTITIES])


@pytest.fixture(autouse=True, params=["memory", "socket"])
def carrier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both ways to carry a session."""
    monkeypatch.setattr(fakedaemon, "CARRIER", request.param)


async def service(**agents: SSHAgent) -> SSHService:
    return SSHService(await anyio.to_thread.run_sync(open_agents, agents))


def data(content: bytes) -> bytes:
    return _wire.field_bytes(1, content)


class Step:
    """A step's end of a forwarded socket."""

    def __init__(self, call: DaemonCall) -> None:
        self.call = call
        self._splitter = agentwire.Splitter()
        self.sizes: list[int] = []

    async def say(self, content: bytes) -> None:
        await self.call.send(data(content))

    async def hear(self) -> bytes | None:
        message = await self.call.receive()
        return None if message is None else _wire.first(message, 1)

    async def ask(self, request: bytes) -> bytes:
        """One request to an agent."""
        await self.say(agentwire.framed(request))
        while True:
            found = await self.hear()
            assert found is not None
            self.sizes.append(len(found))
            for answer in self._splitter.feed(found):
                return answer


@asynccontextmanager
async def forwarded(daemon: FakeDaemon, name: str = "") -> AsyncGenerator[Step]:
    metadata = {"buildkit.ssh.id": [name]} if name else {}
    async with daemon.call(FORWARD_AGENT, metadata) as call:
        yield Step(call)


@contextmanager
def socket_server(folder: Path, run: Callable[[socket.socket], None]) -> Generator[Path]:
    """One connection to a socket, served by a function in a thread."""
    path = folder / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:  # nobody came
                return
            with connection:
                run(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield path
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


async def test_check_agent(tmp_path: Path) -> None:
    """S80: no id is ``default``; what is not there is an error, and remembered."""
    ssh = await service(default=SSHAgent(keys=[make_key(tmp_path)]))
    async with fake_daemon(ssh) as daemon:
        for name in ("", "default"):
            assert await daemon.unary(CHECK_AGENT, _wire.field_bytes(1, name.encode())) == (b"", Status())
        for name in ("work", "other", "work"):
            answer = await daemon.unary(CHECK_AGENT, _wire.field_bytes(1, name.encode()))
            assert answer == (None, Status(Code.UNKNOWN, f"unset ssh forward key {name}"))
        _, status = await daemon.unary(CHECK_AGENT, b"\xff")
        assert status.code == Code.INVALID_ARGUMENT
    assert ssh.missing == ("work", "other")


async def test_an_agent_that_is_not_there() -> None:
    """S80, for the forwarding itself."""
    ssh = await service()
    async with fake_daemon(ssh) as daemon, forwarded(daemon, "work") as step:
        assert await step.call.status() == Status(Code.UNKNOWN, "unset ssh forward key work")
    assert ssh.missing == ("work",)


async def test_several_agents(tmp_path: Path) -> None:
    """S81: the header says which; without it, it is the default one."""
    one, two = make_key(tmp_path, "ed25519"), make_key(tmp_path, "ecdsa")
    async with fake_daemon(
        await service(default=SSHAgent(keys=[one]), work=SSHAgent(keys=[one, two]))
    ) as daemon:
        for name, count in (("", 1), ("default", 1), ("work", 2)):
            async with forwarded(daemon, name) as step:
                answer = await step.ask(LIST)
                assert int.from_bytes(answer[1:5]) == count
                await step.call.done_sending()
                assert await step.call.status() == Status()


async def test_keys_in_memory(tmp_path: Path) -> None:
    """S83, X28: they sign, and nothing else; requests may come in any pieces."""
    key = make_key(tmp_path, "rsa")
    async with (
        fake_daemon(await service(default=SSHAgent(keys=[key.read_bytes()]))) as daemon,
        forwarded(daemon) as step,
    ):
        blob = agentwire.Fields((await step.ask(LIST))[5:]).string()
        request = agentwire.framed(
            bytes([agentwire.SIGN_REQUEST])
            + agentwire.string(blob)
            + agentwire.string(b"x" * 100_000)
            + bytes([0, 0, 0, 4])
        )
        for at in range(0, len(request), 777):
            await step.say(request[at : at + 777])
        assert (await step.hear() or b"")[4] == agentwire.SIGN_RESPONSE
        assert await step.ask(b"\x13") == bytes([agentwire.FAILURE])


async def test_a_running_agent_is_used_and_can_not_be_changed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """S82, X28: lists and signatures pass; adding, removing, locking and even unlocking do not."""
    key = make_key(tmp_path)
    with running_agent(tmp_path, [key]) as path:
        before = ssh_add(path, "-L")
        async with (
            fake_daemon(await service(default=SSHAgent(socket=path))) as daemon,
            forwarded(daemon) as step,
        ):
            answer = await step.ask(LIST)
            blob = agentwire.Fields(answer[5:]).string()
            sign = (
                bytes([agentwire.SIGN_REQUEST]) + agentwire.string(blob) + agentwire.string(b"x") + bytes(4)
            )
            assert (await step.ask(sign))[0] == agentwire.SIGN_RESPONSE
            for kind in (1, 9, 17, 18, 19, 20, 21, 22, 23, 25, 26, 200):
                assert await step.ask(bytes([kind]) + agentwire.string(blob)) == bytes([agentwire.FAILURE])
            extensions = {
                b"session-bind@openssh.com": b"\x05",
                b"query": None,
                b"other@test": b"\x1c",
                b"": b"\x1c",
            }
            for name, expected in extensions.items():
                answer = await step.ask(bytes([agentwire.EXTENSION]) + agentwire.string(name))
                assert expected is None or answer == expected
            assert await step.ask(bytes([agentwire.EXTENSION]) + b"\0\0") == bytes(
                [agentwire.EXTENSION_FAILURE]
            )
            assert (await step.ask(LIST))[5:] == agentwire.string(blob) + agentwire.string(b"made for a test")
            await step.call.done_sending()
            assert await step.call.status() == Status()
        assert ssh_add(path, "-L") == before
    assert "kind 22 was kept from the SSH agent" in caplog.text


async def test_nothing_that_is_kept_reaches_the_agent(tmp_path: Path) -> None:
    """X28: not even a byte of it."""
    seen = bytearray()

    def record(connection: socket.socket) -> None:
        while received := connection.recv(65536):
            seen.extend(received)
            connection.sendall(agentwire.framed(b"\x0c\0\0\0\0"))

    with socket_server(tmp_path, record) as path:
        async with (
            fake_daemon(await service(default=SSHAgent(socket=path))) as daemon,
            forwarded(daemon) as step,
        ):
            for request in (b"\x16hunter2", LIST, b"\x1b\0\0\0\x05other", b"\x17hunter2", LIST):
                await step.ask(request)
            await step.call.done_sending()
            assert await step.call.status() == Status()
    assert seen == agentwire.framed(LIST) * 2


async def test_long_answers(tmp_path: Path) -> None:
    """S81: 32 KiB a message; the agent may answer in any pieces."""
    content = bytes(range(256)) * 700

    def answer(connection: socket.socket) -> None:
        connection.recv(65536)
        answer = agentwire.framed(b"\x0c" + content)
        for at in range(0, len(answer), 5000):
            connection.sendall(answer[at : at + 5000])
        connection.recv(1)

    with socket_server(tmp_path, answer) as path:
        async with (
            fake_daemon(await service(default=SSHAgent(socket=path))) as daemon,
            forwarded(daemon) as step,
        ):
            assert await step.ask(LIST) == b"\x0c" + content
            assert max(step.sizes) == CHUNK


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\n", bytes(4), b"\0\x04\0\x01" + b"x" * 10])
async def test_a_step_that_speaks_something_else(tmp_path: Path, said: bytes) -> None:
    async with (
        fake_daemon(await service(default=SSHAgent(keys=[make_key(tmp_path)]))) as daemon,
        forwarded(daemon) as step,
    ):
        await step.say(said)
        status = await step.call.status()
    assert status.code == Code.INVALID_ARGUMENT
    assert "the step does not speak the protocol of SSH agents" in status.message


@pytest.mark.parametrize(
    ("said", "code"), [(b"HTTP/1.1 400\r\n", Code.INVALID_ARGUMENT), (b"", Code.UNAVAILABLE)]
)
async def test_an_agent_that_speaks_something_else(tmp_path: Path, said: bytes, code: Code) -> None:
    def run(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(said)

    with socket_server(tmp_path, run) as path:
        async with (
            fake_daemon(await service(default=SSHAgent(socket=path))) as daemon,
            forwarded(daemon) as step,
        ):
            await step.say(agentwire.framed(LIST))
            status = await step.call.status()
    assert status.code == code
    assert "the SSH agent" in status.message


async def test_a_message_that_is_none(tmp_path: Path) -> None:
    def wait(connection: socket.socket) -> None:
        connection.recv(1)

    with socket_server(tmp_path, wait) as path:
        for raw in (False, True):
            agent = SSHAgent(socket=path, raw=raw) if raw else SSHAgent(keys=[make_key(tmp_path)])
            async with fake_daemon(await service(default=agent)) as daemon, forwarded(daemon) as step:
                await step.call.send(b"\xff")
                assert (await step.call.status()).code == Code.INVALID_ARGUMENT


async def test_an_agent_that_has_gone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """S85: after two seconds at most; the step sees a closed socket only, so the reason is logged and kept."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        ssh = await service(default=SSHAgent(socket=tmp_path / "socket"))
    (tmp_path / "socket").unlink()
    async with fake_daemon(ssh) as daemon, forwarded(daemon) as step:
        status = await step.call.status()
    text = f"the SSH agent at '{tmp_path}/socket' can not be reached: No such file or directory"
    assert status == Status(Code.UNAVAILABLE, text)
    assert str(ssh.failed["default"]) == text
    assert text in caplog.text


async def test_a_raw_socket_passes_everything(tmp_path: Path) -> None:
    """S84, S81: any protocol, both ways at once; a half-close goes through, and the rest still comes back."""

    def run(connection: socket.socket) -> None:
        connection.sendall(b"hello")
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
        connection.sendall(received[::-1])

    content = bytes(range(256)) * 2000
    with socket_server(tmp_path, run) as path:
        raw = SSHAgent(socket=path, raw=True)
        async with fake_daemon(await service(default=raw)) as daemon, forwarded(daemon) as step:
            assert await step.hear() == b"hello"
            for at in range(0, len(content), 30_000):
                await step.say(content[at : at + 30_000])
            await step.say(b"")
            await step.call.done_sending()
            back = b""
            while (chunk := await step.hear()) is not None:
                assert len(chunk) <= CHUNK
                back += chunk
            assert back == content[::-1]
            assert await step.call.status() == Status()


async def test_a_raw_socket_that_ends_first(tmp_path: Path) -> None:
    with socket_server(tmp_path, lambda connection: connection.sendall(b"bye")) as path:
        raw = SSHAgent(socket=path, raw=True)
        async with fake_daemon(await service(default=raw)) as daemon, forwarded(daemon) as step:
            assert await step.hear() == b"bye"
            assert await step.call.status() == Status()


@pytest.mark.parametrize("raw", [False, True])
async def test_a_cancelled_step_closes_the_socket(tmp_path: Path, raw: bool) -> None:
    ended = threading.Event()

    def run(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass
        ended.set()

    with socket_server(tmp_path, run) as path:
        agent = SSHAgent(socket=path, raw=raw)
        async with fake_daemon(await service(default=agent)) as daemon:
            async with forwarded(daemon) as step:
                await step.say(agentwire.framed(LIST))
                await anyio.sleep(0.05)
            assert await anyio.to_thread.run_sync(ended.wait, 10)


async def test_many_connections_at_once(tmp_path: Path) -> None:
    """S18: one for each step, and more."""
    with running_agent(tmp_path, [make_key(tmp_path)]) as path:
        async with fake_daemon(await service(default=SSHAgent(socket=path))) as daemon:

            async def use() -> None:
                async with forwarded(daemon) as step:
                    for _ in range(5):
                        assert (await step.ask(LIST))[:5] == b"\x0c\0\0\0\x01"

            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(use)


@pytest.mark.parametrize("kind", ["socket", "key", "none"])
async def test_what_is_not_there_is_found_out_before(tmp_path: Path, kind: str) -> None:
    """S85."""
    agents = {
        "socket": SSHAgent(socket=tmp_path / "x"),
        "key": SSHAgent(keys=[tmp_path / "x"]),
        "none": SSHAgent(),
    }
    with pytest.raises(ConfigError, match=r"ssh 'work'|SSH_AUTH_SOCK"):
        await service(work=agents[kind])


async def test_nothing_secret_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = make_key(tmp_path)
    with caplog.at_level(logging.DEBUG):
        async with (
            fake_daemon(await service(default=SSHAgent(keys=[key]))) as daemon,
            forwarded(daemon) as step,
        ):
            await step.ask(LIST)
            await step.ask(b"\x11" + key.read_bytes())
    assert key.read_text().splitlines()[2] not in caplog.text

"""A gateway in this process, spoken to over a socket: what a frontend's process talks to, without buildkitd."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias, cast

import grpc
import grpc.aio

from pybuildkit._pb import caps_pb2, gateway_pb2, ops_pb2, stat_pb2, worker_pb2
from pybuildkit.details import decode_status
from pybuildkit.frontend.failures import explained
from pybuildkit.gateway.bridge import Bridge
from pybuildkit.gateway.gateway import Gateway
from pybuildkit.rpc.channel import Channel
from pybuildkit.rpc.failures import rpc_error

__all__ = ["FakeBridge", "Finished", "FrontendProcess", "metadata_json", "solves"]

ROOT = Path(__file__).parents[2]

CAPS = (
    "solve.base",
    "solve.inlinereturn",
    "readfile",
    "readdir",
    "statfile",
    "return",
    "returnmap",
    "frontend.inputs",
    "gateway.evaluate",
    "gateway.solve.evaluate",
    "gateway.warnings",
    "reference.output",
    "reference.attestations",
    "source.metaresolver",
)

Answer: TypeAlias = "bytes | tuple[grpc.StatusCode, str] | None"
"""An encoded response; a refusal; None never comes."""


class Finished:
    """How a frontend's process ended: its exit code, and what it printed as errors."""

    def __init__(self, code: int, stderr: str) -> None:
        self.code = code
        self.stderr = stderr


class FrontendProcess:
    """A frontend's process under way."""

    def __init__(self, process: subprocess.Popen[bytes], pumps: list[threading.Thread]) -> None:
        self._process = process
        self._pumps = pumps

    async def finished(self, timeout: float = 30.0) -> Finished:  # noqa: ASYNC109 - a test's patience
        """Wait for its end."""
        try:
            _, stderr = await asyncio.to_thread(self._process.communicate, timeout=timeout)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            raise
        finally:
            for pump in self._pumps:
                await asyncio.to_thread(pump.join)
        return Finished(self._process.returncode, stderr.decode())


def _connect(process: subprocess.Popen[bytes], connection: socket.socket) -> list[threading.Thread]:
    """Pump bytes between a process' pipes and a socket until both sides have ended."""
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None
    process.stdin = process.stdout = None

    def down() -> None:
        with stdin, contextlib.suppress(OSError):
            while data := connection.recv(1 << 16):
                stdin.write(data)

    def up() -> None:
        with stdout, contextlib.suppress(OSError):
            while data := os.read(stdout.fileno(), 1 << 16):
                connection.sendall(data)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        pumps[0].join()
        connection.close()

    pumps = [threading.Thread(target=down), threading.Thread(target=up)]
    for pump in pumps:
        pump.start()
    return pumps


class FakeBridge(grpc.GenericRpcHandler):
    """Answers the calls of ``LLBBridge``.

    Args:
        answers: by method: the encoded response, or what makes it of the encoded request.
        files: what every reference holds.
        caps: what it can do.

    Attributes:
        calls: method and request of each call.
        returned: the request of ``Return``, None before.
    """

    def __init__(
        self,
        answers: Mapping[str, Answer | Callable[[bytes], Answer]] | None = None,
        *,
        files: Mapping[str, bytes] | None = None,
        caps: tuple[str, ...] = CAPS,
    ) -> None:
        self._answers = dict(answers or {})
        self._files = dict(files or {})
        self._caps = caps
        self._server: grpc.aio.Server | None = None
        self.calls: list[tuple[str, bytes]] = []
        self.returned: gateway_pb2.ReturnRequest | None = None
        self._news = asyncio.Condition()

    @asynccontextmanager
    async def running(self, path: Path) -> AsyncIterator[Path]:
        """Serve on a socket."""
        options = [("grpc.max_receive_message_length", 16 << 20)]
        self._server = server = grpc.aio.server(options=options)
        server.add_generic_rpc_handlers((self,))
        server.add_insecure_port(f"unix:{path}")
        await server.start()
        try:
            yield path
        finally:
            await server.stop(None)

    async def stop(self) -> None:
        """Go away in the middle, as a daemon that is killed."""
        assert self._server is not None
        await self._server.stop(None)

    def start(
        self,
        path: Path,
        program: Path,
        options: Mapping[str, str] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
    ) -> FrontendProcess:
        """Start a frontend's process as the daemon does (V60), its standard input and output being the connection."""
        told = {
            f"BUILDKIT_FRONTEND_OPT_{n}": f"{key}={value}"
            for n, (key, value) in enumerate((options or {}).items())
        }
        told |= {
            "BUILDKIT_SESSION_ID": "session1",
            "BUILDKIT_WORKERS": "[]",
            "BUILDKIT_EXPORTEDPRODUCT": "buildkit",
        }
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        process = subprocess.Popen(
            [sys.executable, str(program)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT), **told, **(environ or {})},
        )
        return FrontendProcess(process, _connect(process, connection))

    @property
    def error(self) -> tuple[int, str, tuple[Any, ...]]:
        """The error that was returned: code, text, details."""
        assert self.returned is not None
        return decode_status(self.returned.error.SerializeToString())

    async def called(self, name: str) -> None:
        """Wait until a method has been called."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: any(name == called for called, _ in self.calls))

    # grpc's side.

    def service(self, handler_call_details: Any) -> grpc.RpcMethodHandler[Any, Any]:
        """See grpc: the handler of a method."""
        name = handler_call_details.method.rpartition("/")[2]

        async def handle(request: bytes, context: Any) -> bytes:
            return await self._handle(name, request, context)

        return grpc.unary_unary_rpc_method_handler(handle)

    async def _handle(self, name: str, request: bytes, context: Any) -> bytes:
        answer = await self._answer(name, request)
        if isinstance(answer, tuple):
            await context.abort(*answer)
        assert isinstance(answer, bytes)
        return answer

    async def _answer(self, name: str, request: bytes) -> Answer:
        self.calls.append((name, request))
        async with self._news:
            self._news.notify_all()
        if name == "Return":
            self.returned = gateway_pb2.ReturnRequest.FromString(request)
        answer = self._answers.get(name, getattr(self, f"_{name.lower()}", b""))
        if callable(answer):
            answer = answer(request)
        if answer is None:
            await asyncio.sleep(60)
        return answer

    # The channel's side: the same without a socket.

    async def unary(self, method: str, request: bytes = b"", **_: Any) -> bytes:
        """See ``Channel.unary``."""
        answer = await self._answer(method.rpartition("/")[2], request)
        if isinstance(answer, tuple):
            raise rpc_error(answer[0].name, answer[1], method=method, address="memory")
        assert isinstance(answer, bytes)
        return answer

    async def gateway(self, options: Mapping[str, str] | None = None) -> Gateway:
        """A gateway in this process, as a frontend's function gets it."""
        bridge = Bridge(cast("Channel", self), explain=explained)
        await bridge.connect()
        return Gateway(bridge, options=options, session="session1")

    def _ping(self, _: bytes) -> bytes:
        from pybuildkit.llb import KNOWN_CAPABILITIES

        amd64 = ops_pb2.Platform(OS="linux", Architecture="amd64")
        return gateway_pb2.PongResponse(
            FrontendAPICaps=[caps_pb2.APICap(ID=name, Enabled=True) for name in self._caps],
            LLBCaps=[caps_pb2.APICap(ID=str(name), Enabled=True) for name in KNOWN_CAPABILITIES],
            Workers=[worker_pb2.WorkerRecord(ID="worker1", platforms=[amd64])],
        ).SerializeToString()

    def _solve(self, request: bytes) -> bytes:
        """A reference whose graph is the one that was asked for."""
        asked = gateway_pb2.SolveRequest.FromString(request)
        number = sum(name == "Solve" for name, _ in self.calls)
        ref = gateway_pb2.Ref(id=f"ref{number}")
        getattr(ref, "def").CopyFrom(asked.Definition)
        return gateway_pb2.SolveResponse(result=gateway_pb2.Result(ref=ref)).SerializeToString()

    def _readfile(self, request: bytes) -> Answer:
        asked = gateway_pb2.ReadFileRequest.FromString(request)
        data = self._files.get(asked.FilePath)
        if data is None:
            return grpc.StatusCode.UNKNOWN, f"open {asked.FilePath}: no such file or directory"
        start = asked.Range.Offset
        return gateway_pb2.ReadFileResponse(Data=data[start : start + asked.Range.Length]).SerializeToString()

    def _statfile(self, request: bytes) -> bytes:
        return gateway_pb2.StatFileResponse(stat=stat_pb2.Stat(path="x")).SerializeToString()


def solves(bridge: FakeBridge) -> list[gateway_pb2.SolveRequest]:
    """The solves that were asked for."""
    return [gateway_pb2.SolveRequest.FromString(request) for name, request in bridge.calls if name == "Solve"]


def metadata_json(returned: gateway_pb2.ReturnRequest, key: str) -> Any:
    """Metadata of a result, as what JSON gives."""
    return json.loads(returned.result.metadata[key])

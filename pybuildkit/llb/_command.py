"""What a command is, apart from its mounts: its arguments, and the parts that few commands have (L45 to L52)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from pybuildkit._wire import varint
from pybuildkit.errors import DefinitionError
from pybuildkit.llb._caps import Cap
from pybuildkit.llb._encode import INT32_MAX, check_int, field, text
from pybuildkit.llb._env import encode_item
from pybuildkit.llb._paths import mount_target
from pybuildkit.llb.mounts import Device, ProxyEnv, SecretMount, SSHMount

__all__ = ["NO_PARTS", "SHELL", "ExecParts", "encode_command"]

T = TypeVar("T")

SHELL = ("/bin/sh", "-c")
_SHELL_ARGS = b"\n\x07/bin/sh\n\x02-c"
_SSH_TARGET = "/run/buildkit/ssh_agent."


class ExecParts:
    """The encoded fields of a command that few commands have.

    Attributes:
        proxy: ``Meta.proxy_env``.
        exit_codes: ``Meta.validExitCodes``.
        client_mounts: ``ExecOp.mounts`` of secrets and agents, which come behind all others (L53).
        secret_env: ``ExecOp.secretenv``.
        devices: ``ExecOp.cdiDevices``.
        socket: the first agent's target.
        caps: what they need of the daemon.
    """

    __slots__ = ("caps", "client_mounts", "devices", "exit_codes", "proxy", "secret_env", "socket")

    def __init__(self) -> None:
        self.proxy = b""
        self.exit_codes = b""
        self.client_mounts = b""
        self.secret_env = b""
        self.devices = b""
        self.socket = ""
        self.caps = 0

    def add_proxy(self, proxy: ProxyEnv) -> None:
        """Set the proxies.

        Raises:
            DefinitionError: it is no ``ProxyEnv``.
        """
        if not isinstance(proxy, ProxyEnv):
            raise DefinitionError(f"proxy {proxy!r} is a {type(proxy).__name__}, give a ProxyEnv")
        self.proxy = proxy.encode()
        self.caps |= Cap.EXEC_PROXY

    def add_exit_codes(self, codes: Iterable[int]) -> None:
        """Set the exit codes that are no failure."""
        listed = [
            check_int(code, "exit code", -INT32_MAX - 1, INT32_MAX) for code in _listed(codes, "exit codes")
        ]
        if listed:
            self.exit_codes = field(b"\x62", b"".join([varint(code) for code in listed]))
            self.caps |= Cap.EXEC_VALID_EXIT_CODE

    def add_devices(self, devices: Iterable[str | Device]) -> None:
        """Set the devices."""
        for device in _listed(devices, "devices"):
            self.devices += (device if isinstance(device, Device) else Device(device)).encode()
            self.caps |= Cap.EXEC_CDI

    def add_secret_env(self, variables: Mapping[str, SecretMount]) -> None:
        """Set the variables that hold secrets."""
        for name, secret in variables.items():
            encode_item(name, "")
            self.secret_env += secret.encode_env(name)
            self.caps |= Cap.MOUNT_SECRET | Cap.EXEC_SECRET_ENV

    def add_client_mounts(
        self, secrets: list[tuple[str, SecretMount]], agents: list[tuple[str, SSHMount]]
    ) -> None:
        """Set the secret files and the agents; an agent without a target gets the daemon's usual one (L48)."""
        out = [secret.encode(mount_target(target)[0]) for target, secret in secrets]
        for index, (target, agent) in enumerate(agents):
            target = target or f"{_SSH_TARGET}{index}"
            self.socket = self.socket or target
            out.append(agent.encode(mount_target(target)[0]))
        self.client_mounts = b"".join(out)
        self.caps |= (Cap.MOUNT_SECRET if secrets else 0) | (Cap.MOUNT_SSH if agents else 0)


NO_PARTS = ExecParts()


def encode_command(command: str | Sequence[str], shell: Sequence[str]) -> bytes:
    """The fields ``Meta.args`` of a shell line, or of an argument list.

    Raises:
        DefinitionError: there is no command, or an argument is no text.
    """
    if isinstance(command, str):
        line = text(command, "command")
        if not line.strip():
            raise DefinitionError(f"command {command!r} is empty, give a shell line or a list of arguments")
        prefix = _SHELL_ARGS if shell == SHELL else b"".join([field(b"\n", text(s, "shell")) for s in shell])
        return prefix + b"\n" + varint(len(line)) + line
    if not isinstance(command, Sequence) or isinstance(command, bytes | bytearray | memoryview):
        raise DefinitionError(
            f"command {command!r} is a {type(command).__name__}, give a str for the shell or a list of str"
        )
    if not command:
        raise DefinitionError(f"command {command!r} is empty, give a shell line or a list of arguments")
    return b"".join([field(b"\n", text(argument, "argument")) for argument in command])


def _listed(values: Iterable[T], what: str) -> list[T]:
    if isinstance(values, str | bytes):
        raise DefinitionError(f"{what} {values!r} is one text, give a list")
    try:
        return list(values)
    except TypeError:
        raise DefinitionError(f"{what} {values!r} is a {type(values).__name__}, give a list") from None

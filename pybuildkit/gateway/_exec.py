"""``ExecMessage``: what goes to and from a process in a container (V71)."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from pybuildkit._values import dataclass, field
from pybuildkit.details import Detail, decode_status
from pybuildkit.errors import ConfigError
from pybuildkit.gateway import _proto as p
from pybuildkit.gateway._proto import Message
from pybuildkit.llb.mounts import SecretMount

__all__ = ["Data", "Done", "Exit", "Init", "SignalLike", "Started", "decode_exec", "signal_name"]

SignalLike: TypeAlias = "str | signal.Signals"
"""A signal, or its name with or without ``SIG``."""

UNKNOWN_EXIT = 255
"""V71: the code of a process that did not start, or of which it is not known how it ended."""


@dataclass(frozen=True, slots=True)
class Init:
    """What starts a process."""

    container: str
    args: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = ""
    user: str = ""
    fds: Sequence[int] = ()
    tty: bool = False
    security: int = 0
    secret_env: Mapping[str, SecretMount] = field(default_factory=dict)

    def encode(self, process: str) -> bytes:
        """The message."""
        meta = p.texts(1, self.args) + p.texts(2, [f"{k}={v}" for k, v in self.env.items()])
        meta += p.text(3, self.cwd) + p.text(4, self.user) + p.flag(11, True)  # L56
        parts = [p.text(1, self.container), p.message(2, meta)]
        parts += [b"\x18" + bytes([fd]) for fd in self.fds]  # zero is not left out of a repeated field
        parts += [p.flag(4, self.tty), p.number(5, self.security)]
        for name, secret in self.secret_env.items():
            body = p.text(1, secret.id) + p.text(2, name) + p.flag(3, secret.optional)
            parts.append(p.message(6, body))
        return p.text(1, process) + p.message(2, b"".join(parts))


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes from one of the process' outputs, or its end."""

    fd: int
    data: bytes
    eof: bool


@dataclass(frozen=True, slots=True)
class Exit:
    """How the process ended; the code is -1 when runc did not see it. Text and details are of the error, if any."""

    code: int
    message: str = ""
    details: tuple[Detail, ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """The process has been started."""


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more comes of this process."""


def decode_exec(data: bytes) -> Data | Exit | Started | Done | None:
    """A message from the daemon, None for a kind that is not known.

    Raises:
        ProtoDecodeError: it can not be read.
    """
    message = Message(data)
    if 3 in message:
        file = message.message(3)
        return Data(file.number(1), file.blob(3), file.flag(2))
    if 5 in message:
        return Started()
    if 6 in message:
        exit_ = message.message(6)
        code = exit_.number(1)
        code = code - (1 << 32) if code >> 31 else code
        if 2 not in exit_:
            return Exit(code)
        _, text, details = decode_status(exit_.blob(2))
        return Exit(code, text, details)
    return Done() if 7 in message else None


def encode_data(process: str, fd: int, data: bytes) -> bytes:
    """Bytes for one of the process' inputs."""
    return p.text(1, process) + p.message(3, p.number(1, fd) + p.blob(3, data))


def encode_eof(process: str, fd: int) -> bytes:
    """The end of one of the process' inputs."""
    return p.text(1, process) + p.message(3, p.number(1, fd) + p.flag(2, True))


def encode_resize(process: str, rows: int, columns: int) -> bytes:
    """The terminal's new size."""
    return p.text(1, process) + p.message(4, p.number(1, rows) + p.number(2, columns))


def encode_signal(process: str, name: str) -> bytes:
    """A signal for the process."""
    return p.text(1, process) + p.message(8, p.text(1, name))


def signal_name(value: SignalLike) -> str:
    """A signal's name as the daemon takes it (V73). An unknown one would end the call for the process.

    Raises:
        ConfigError: there is no such signal.
    """
    name = value.name if isinstance(value, signal.Signals) else value.upper()
    name = name.removeprefix("SIG")
    if f"SIG{name}" not in signal.Signals.__members__ or name.startswith("RTM"):
        raise ConfigError(f"signal {value!r} does not exist; give a name as TERM, or signal.SIGTERM")
    return name

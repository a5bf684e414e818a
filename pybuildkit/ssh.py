"""SSH agents that steps of a build may use: which socket, or which keys. Nothing is opened here."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, cast

from pybuildkit._values import dataclass
from pybuildkit.csvattrs import parse_bool
from pybuildkit.errors import ConfigError

__all__ = ["DEFAULT_ID", "MAX_KEY_SIZE", "KeyOpener", "SSHAgent", "SSHAgents", "SSHKey", "coerce_ssh"]

DEFAULT_ID = "default"
"""The id of the agent that a step gets when it names none (S80)."""

MAX_KEY_SIZE = 100 * 1024
"""Bytes of one key file (R13)."""

SSHKey: TypeAlias = str | os.PathLike[str] | bytes
KeyOpener: TypeAlias = "bytes | Callable[[str], bytes | str]"


@dataclass(frozen=True, slots=True, repr=False)
class SSHAgent:
    """One agent for a build: a running one, by its socket, or one that holds given keys.

    With neither it is the agent at ``$SSH_AUTH_SOCK``. Its ``repr`` shows no key.

    Attributes:
        socket: a running agent's socket.
        keys: private keys, as files or as bytes.
        raw: hand the socket through as it is, whatever it speaks (S84).
        passphrase: opens encrypted keys; a function is given a prompt with the key's name, so ``getpass.getpass`` is
            one. It is called in a thread before the build begins.
    """

    socket: str | os.PathLike[str] | None = None
    keys: Sequence[SSHKey] = ()
    raw: bool = False
    passphrase: KeyOpener | None = None

    def __post_init__(self) -> None:
        """Check that it is one of both (S85)."""
        if isinstance(self.keys, str | bytes | os.PathLike):
            raise ConfigError("SSHAgent: keys= is a list of keys, put the one into brackets")
        object.__setattr__(self, "keys", tuple(self.keys))
        if self.socket is not None and not os.fspath(self.socket):
            raise ConfigError("SSHAgent: socket= is empty; leave it out for the agent at $SSH_AUTH_SOCK")
        if self.socket is not None and self.keys:
            raise ConfigError("SSHAgent: a socket or keys, not both")
        if self.raw and self.socket is None:
            raise ConfigError("SSHAgent: raw=True needs a socket=")
        if isinstance(self.passphrase, str):
            raise ConfigError("SSHAgent: passphrase= must be bytes or a function, encode the text")

    @classmethod
    def parse(cls, text: str) -> tuple[str, SSHAgent]:
        """Read buildctl's ``ID[=PATH[,PATH...][,raw=true]]``; gives the id and the agent (B28).

        A path is looked at, to know whether it is a socket or a key.

        Raises:
            ConfigError: a path does not exist, or sockets and keys are mixed.
        """
        name, equals, rest = text.partition("=")
        paths, raw = _split(rest) if equals else ([], False)
        if raw and len(paths) != 1:
            raise ConfigError(f"ssh {text!r}: raw=true needs exactly one socket")
        if not paths or paths == [""]:
            return name or DEFAULT_ID, cls()
        sockets = [path for path in paths if _is_socket(path, text)]
        if raw and not sockets:
            raise ConfigError(f"ssh {text!r}: raw=true needs a socket, {paths[0]!r} is none")
        if len(sockets) > 1 or (sockets and len(paths) > 1):
            raise ConfigError(f"ssh {text!r}: one socket or several keys, not both")
        if sockets:
            return name or DEFAULT_ID, cls(socket=sockets[0], raw=raw)
        return name or DEFAULT_ID, cls(keys=tuple(paths))

    def socket_path(self, environ: Mapping[str, str] | None = None) -> Path | None:
        """The running agent's socket; None when the agent is to be made of keys.

        Args:
            environ: where ``SSH_AUTH_SOCK`` is looked up; this process' environment when not given.

        Raises:
            ConfigError: neither socket nor keys are given and the variable is not set.
        """
        if self.keys:
            return None
        if self.socket is not None:
            return Path(os.fspath(self.socket)).expanduser()
        found = (os.environ if environ is None else environ).get("SSH_AUTH_SOCK", "")
        if not found:
            raise ConfigError(
                "no SSH agent runs here ($SSH_AUTH_SOCK is not set): start one, or give SSHAgent(keys=[...])"
            )
        return Path(found)

    def check(self, agent_id: str) -> None:
        """Find out before the build whether socket and keys are there. Blocks on a few stats.

        Raises:
            ConfigError: one is not, or a key is too big (S83).
        """
        path = self.socket_path()
        if path is not None:
            if not stat.S_ISSOCK(_mode(path, f"ssh {agent_id!r}").st_mode):
                raise ConfigError(f"ssh {agent_id!r}: {str(path)!r} is not a socket; keys go into keys=")
            return
        for key in self.keys:
            if isinstance(key, bytes):
                size, shown = len(key), "a key"
            else:
                file = Path(os.fspath(key)).expanduser()
                size, shown = _mode(file, f"ssh {agent_id!r}").st_size, repr(str(file))
                if file.is_dir() or not os.access(file, os.R_OK):
                    raise ConfigError(f"ssh {agent_id!r}: the key {shown} can not be read")
            if size > MAX_KEY_SIZE:
                raise ConfigError(f"ssh {agent_id!r}: {shown} has {size:,} bytes, no key is that big")

    def __repr__(self) -> str:
        """Paths as they are, keys by their size."""
        shown = []
        if self.socket is not None:
            shown.append(f"socket={os.fspath(self.socket)!r}")
        if self.keys:
            keys = (f"<{len(k)} bytes>" if isinstance(k, bytes) else repr(os.fspath(k)) for k in self.keys)
            shown.append(f"keys=[{', '.join(keys)}]")
        if self.raw:
            shown.append("raw=True")
        if self.passphrase is not None:
            shown.append("passphrase=<hidden>")
        return f"SSHAgent({', '.join(shown)})"


SSHAgents: TypeAlias = (
    "bool | str | SSHAgent | Mapping[str, SSHAgent | str | os.PathLike[str]] | Iterable[str | SSHAgent]"
)
"""True for the default agent; an agent; buildctl's texts; or these by id, a path being a socket or a key."""


def coerce_ssh(value: SSHAgents | None) -> dict[str, SSHAgent]:
    """Agents by id from whatever users write.

    Raises:
        ConfigError: one can not be an agent, or two have one id (S85).
    """
    if value is None or value is False:
        return {}
    if value is True:
        return {DEFAULT_ID: SSHAgent()}
    if isinstance(value, Mapping):
        named = cast("Mapping[str, SSHAgent | str | os.PathLike[str]]", value)
        return {name or DEFAULT_ID: _agent(name, item) for name, item in named.items()}
    items = [value] if isinstance(value, str | SSHAgent) else list(value)
    agents: dict[str, SSHAgent] = {}
    for item in items:
        name, agent = (DEFAULT_ID, item) if isinstance(item, SSHAgent) else SSHAgent.parse(item)
        if name in agents:
            raise ConfigError(f"ssh: the id {name!r} is given twice, give each agent its own")
        agents[name] = agent
    return agents


def _agent(name: str, value: SSHAgent | str | os.PathLike[str]) -> SSHAgent:
    if isinstance(value, SSHAgent):
        return value
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"ssh {name!r}: give an SSHAgent or a path, not {type(value).__name__}")
    path = Path(os.fspath(value)).expanduser()
    return SSHAgent(socket=path) if _is_socket(str(path), name) else SSHAgent(keys=(path,))


def _split(rest: str) -> tuple[list[str], bool]:
    """The paths, and whether the socket is raw; this is not CSV, a comma always separates."""
    paths, raw = [], False
    for part in rest.split(","):
        key, equals, value = part.partition("=")
        if equals and key == "raw":
            raw = parse_bool(value, what="raw")
        else:
            paths.append(part)
    return paths, raw


def _is_socket(path: str, text: str) -> bool:
    return stat.S_ISSOCK(_mode(Path(path).expanduser(), f"ssh {text!r}").st_mode)


def _mode(path: Path, what: str) -> os.stat_result:
    try:
        return path.stat()
    except OSError as exc:
        raise ConfigError(f"{what}: {str(path)!r} can not be used: {exc.strerror}") from exc

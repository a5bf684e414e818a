"""The commands: what there is, and where it is. A command's module is imported only when it is used."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Awaitable, Callable
from typing import Protocol, cast

from pybuildkit._values import dataclass

__all__ = ["COMMANDS", "Command", "CommandModule", "find"]


class CommandModule(Protocol):
    """What the module of a command has; ``run`` may also be a plain function.

    Attributes:
        DESCRIPTION: what the command does, for its help.
        EXAMPLES: command lines, for its help.
    """

    DESCRIPTION: str
    EXAMPLES: str
    run: Callable[[argparse.Namespace], Awaitable[int] | int]

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""
        ...


@dataclass(frozen=True, slots=True)
class Command:
    """A command, or a group of them.

    Attributes:
        name: as it is written.
        summary: one line for lists.
        module: where it is, below this package; empty for a group.
        commands: the commands of a group.
        aliases: other names.
        hidden: not in lists: only programs call it.
    """

    name: str
    summary: str
    module: str = ""
    commands: tuple[Command, ...] = ()
    aliases: tuple[str, ...] = ()
    hidden: bool = False

    def load(self) -> CommandModule:
        """The command's module."""
        return cast("CommandModule", importlib.import_module(f"{__package__}.{self.module}"))


_HISTORY = (
    Command("ls", "list builds", "history.ls", aliases=("list",)),
    Command("logs", "show a build's progress again, or follow it", "history.logs"),
    Command("inspect", "show all that is known of a build, or one of its blobs", "history.inspect"),
    Command("trace", "print a build's OpenTelemetry spans as JSON", "history.trace"),
    Command("follow", "print what happens to builds, as it happens", "history.follow"),
    Command("pin", "keep a build's record", "history.pin"),
    Command("unpin", "let the daemon forget a build's record", "history.unpin"),
    Command("rm", "forget builds", "history.rm"),
)

_DEBUG = (
    Command("workers", "list the daemon's workers", "workers"),
    Command("info", "show the daemon's version", "debug.info"),
    Command("dump-llb", "print an LLB definition for people", "debug.dump_llb"),
    Command("dump-metadata", "print the metadata of a daemon that is stopped", "debug.dump_metadata"),
    Command("monitor", "print what happens to builds, as it happens", "debug.monitor"),
    Command("logs", "show a build's progress again", "debug.logs"),
    Command("get", "print a blob of the daemon's content store", "debug.get"),
    Command("histories", "list build records", "debug.histories"),
    Command("ctl", "pin, unpin or delete a build record", "debug.ctl"),
    Command("shell", "build, and open a shell in the step that fails, or in the result", "debug.shell"),
)

COMMANDS: tuple[Command, ...] = (
    Command("build", "build a Dockerfile directory", "build"),
    Command("solve", "run a frontend, or a graph from standard input", "solve"),
    Command("du", "show what is in the daemon's cache", "du"),
    Command("prune", "remove what is not in use from the daemon's cache", "prune"),
    Command("history", "look into the builds that the daemon remembers", commands=_HISTORY),
    Command("prune-histories", "forget all builds that are not pinned", "prune_histories"),
    Command("workers", "list the daemon's workers", "workers"),
    Command("info", "show the daemon's version", "info"),
    Command("debug", "look into the daemon, as `buildctl debug` does", commands=_DEBUG),
    Command("completion", "print a completion script for a shell", "completion"),
    Command(
        "dial-stdio", "connect standard input and output with the daemon's socket", "dial_stdio", hidden=True
    ),
)


def find(commands: tuple[Command, ...], name: str) -> Command | None:
    """A command by its name or one of its aliases."""
    return next((c for c in commands if name == c.name or name in c.aliases), None)

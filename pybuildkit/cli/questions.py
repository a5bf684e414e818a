"""``pybuildkit build --check`` and ``--call``: questions to the frontend, answered in buildx's shapes."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any

from pybuildkit._values import dataclass
from pybuildkit.errors import ConfigError

if TYPE_CHECKING:
    from pybuildkit.client import AsyncClient
    from pybuildkit.subrequests import Answer

__all__ = ["Question", "add_question_flags", "ask_and_print", "parse_question"]

BUILD = "build"

_NAMES = {"check": "lint", "describe": "subrequests.describe"}
_NOT_ASKED = ("outputs", "tags", "cache_to")
"""What a question has no use for; that it is given is no mistake: the same command builds without ``--call``."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    Attributes:
        name: as ``lint``.
        json: print the answer as JSON.
        ignore_status: end with 0 even when there is something to complain about.
    """

    name: str
    json: bool = False
    ignore_status: bool = False


def add_question_flags(parser: argparse.ArgumentParser) -> None:
    """``--call`` and ``--check``."""
    parser.add_argument(
        "--call",
        default=BUILD,
        metavar="NAME[,format=json]",
        help="ask instead of building: check, outline, targets, subrequests.describe [build]",
    )
    parser.add_argument(
        "--check", dest="call", action="store_const", const="check", help="the same as --call=check"
    )


def parse_question(text: str) -> Question | None:
    """Read ``NAME[,format=json|text][,ignorestatus=BOOL]``; None for ``build``.

    Raises:
        ConfigError: it can not be read.
    """
    name, json, ignore = "", False, False
    for part in text.split(","):
        key, separator, value = part.partition("=")
        if not separator:
            if name or not key:
                raise _wrong(text, "one name is needed")
            name = key
        elif key == "format" and value in ("json", "text"):
            json = value == "json"
        elif key == "ignorestatus" and value.lower() in ("true", "false", "1", "0"):
            ignore = value.lower() in ("true", "1")
        else:
            raise _wrong(text, f"{part!r} is not known")
    if not name:
        raise _wrong(text, "a name is missing")
    return None if name == BUILD else Question(_NAMES.get(name, name), json, ignore)


def _wrong(text: str, why: str) -> ConfigError:
    return ConfigError(
        f"invalid value {text!r} for --call: {why}; write NAME[,format=json][,ignorestatus=true]"
    )


async def ask_and_print(
    client: AsyncClient, path: str, options: dict[str, Any], question: Question, args: argparse.Namespace
) -> int:
    """Ask, print the answer, and give the exit code that belongs to it."""
    options = {key: value for key, value in options.items() if key not in _NOT_ASKED}
    options["progress"] = args.progress
    answer = await client.ask(f"frontend.{question.name}", path, **options)
    complaint = _print(answer, question, _dockerfile(path, args.file))
    if complaint:
        print(f"error: {complaint}", file=sys.stderr, end="")
        return 1
    return 0 if question.ignore_status else answer.status_code


def _print(answer: Answer, question: Question, dockerfile: str) -> str:
    """Print an answer to stdout; what is to be printed as an error comes back."""
    from pybuildkit.subrequests import Description, Lint, Outline, Targets

    if question.name == "lint":
        lint = Lint.read(answer)
        text = f"{answer.json}\n" if question.json else lint.text(dockerfile)
        sys.stdout.write(text)
        if lint.error is not None and lint.warnings and not question.json:
            sys.stdout.write("\n")
        return lint.error_text(dockerfile)
    kinds: dict[str, type[Outline | Targets | Description]] = {
        "outline": Outline,
        "targets": Targets,
        "subrequests.describe": Description,
    }
    kind = kinds.get(question.name)
    if question.json:
        sys.stdout.write(f"{answer.json}\n")
    elif kind is not None:
        sys.stdout.write(kind.read(answer).text())
    else:
        sys.stdout.write(answer.text or f"{answer.json}\n")
    return ""


def _dockerfile(path: str, file: str | None) -> str:
    """What the Dockerfile is called in texts: the path to it, as long as it is one."""
    if file == "-":
        return ""
    if file:
        return file
    found = os.path.join(path, "Dockerfile")  # noqa: PTH118 - as it was written
    return found if os.path.exists(found) else ""  # noqa: PTH110

"""From words to arguments: global flags anywhere, two-word commands, help with examples."""

from __future__ import annotations

import inspect
import re

import pytest

from pybuildkit.cli.arguments import PROG, leaves, parse_arguments, parser_of
from pybuildkit.cli.commands import COMMANDS, find

ALL = list(leaves())


@pytest.mark.parametrize(
    "words",
    [
        ["--addr", "unix:///x", "--debug", "debug", "workers"],
        ["debug", "--addr=unix:///x", "--debug", "workers"],
        ["debug", "workers", "--addr=unix:///x", "--debug"],
    ],
)
def test_global_flags_stand_anywhere(words: list[str]) -> None:
    args = parse_arguments(words)
    assert (args.addr, args.debug, args.timeout, args.wait) == ("unix:///x", True, 5.0, False)
    assert args.module.__name__.endswith(".workers")


def test_the_last_one_wins() -> None:
    assert parse_arguments(["--addr=unix:///a", "info", "--addr=unix:///b"]).addr == "unix:///b"


def test_aliases() -> None:
    assert parse_arguments(["history", "list"]).module is parse_arguments(["history", "ls"]).module
    assert find(COMMANDS, "nonsense") is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "COMMAND"),
        (["nonsense"], "'nonsense' is no command; there are build, solve"),
        (["history"], "COMMAND"),
        (["history", "nonsense"], "'nonsense' is no command; there are ls, logs"),
        (["info", "--nonsense"], "--nonsense"),
        (["--addr"], "--addr"),
        (["--timeout=soon", "info"], "soon"),
        (["completion", "csh"], "csh"),
        (["info", "--form=json"], "--form"),
    ],
)
def test_wrong_usage(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse_arguments(words)
    assert left.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_every_command_explains_itself(words: tuple[str, ...], command: object) -> None:
    """A sentence, the flags, and examples that the parser takes."""
    found = next(c for w, c in ALL if w == words)
    text = parser_of(found, [PROG, *words]).format_help()
    module = found.load()
    assert " ".join(module.DESCRIPTION.split()) in " ".join(text.split())
    assert module.EXAMPLES.strip() in text
    assert callable(module.run)
    for action in parser_of(found, [PROG, *words])._actions:
        assert action.help, f"{words}: {action.dest}"


def test_examples_are_command_lines() -> None:
    import shlex

    seen = set()
    for words, command in ALL:
        for line in command.load().EXAMPLES.splitlines():
            for part in re.split(r" [|>] ", line):
                tokens = shlex.split(part)
                if PROG in tokens:
                    args = parse_arguments(tokens[tokens.index(PROG) + 1 :])
                    seen.add((words, args.module.__name__))
    assert {words for words, _ in seen} == {words for words, _ in ALL}


def test_group_help_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["history", "--help"], ["debug", "-h"]):
        with pytest.raises(SystemExit) as left:
            parse_arguments(words)
        assert left.value.code == 0
        text = capsys.readouterr().out
        group = COMMANDS if len(words) == 1 else find(COMMANDS, words[0]).commands  # type: ignore[union-attr]
        for command in group:
            assert (f"  {command.name} " in text) is not command.hidden
    with pytest.raises(SystemExit):
        parse_arguments(["--version"])
    assert capsys.readouterr().out.startswith("pybuildkit ")


def test_commands_are_coroutines_or_plain_functions() -> None:
    """What needs no event loop does not import one."""
    plain = {words[-1] for words, c in ALL if not inspect.iscoroutinefunction(c.load().run)}
    assert {"dump-llb", "completion", "dial-stdio"} <= plain

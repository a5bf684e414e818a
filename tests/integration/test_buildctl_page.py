"""``docs/buildctl.md``: complete by buildctl's own ``--help``, true by the names of its tests, its example runs."""

from __future__ import annotations

import importlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybuildkit import Client, llb
from pybuildkit.cli.arguments import leaves, parser_of
from pybuildkit.testing.service import BuildkitdService
from tests.support.parity import ROOT, Case

pytestmark = pytest.mark.integration

PAGE = (ROOT / "docs" / "buildctl.md").read_text()
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
MODULES = {
    name: importlib.import_module(f"tests.integration.test_buildctl_parity_{name}")
    for name in ("outputs", "builds", "commands")
}
HELP = "Shows a list of commands or help for one command"


def help_of(buildctl: Path, *words: str) -> str:
    done = subprocess.run([buildctl, *words, "--help"], capture_output=True, text=True, check=True)
    return done.stdout


def commands_in(text: str) -> list[str]:
    found = re.search(r"^COMMANDS:\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    lines = found[1].splitlines() if found else []
    return [line.split()[0].rstrip(",") for line in lines if line.strip() and HELP not in line]


def flags_in(text: str, heading: str) -> set[str]:
    found = re.search(rf"^{heading}:\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^   (--[a-z-]+)", found[1], re.MULTILINE)) if found else set()


def everything(buildctl: Path) -> Iterator[tuple[str, set[str]]]:
    """Each of buildctl's commands with its flags."""
    top = help_of(buildctl)
    yield "Flags of all commands", flags_in(top, "GLOBAL OPTIONS") | flags_in(top, "OPTIONS")
    for command in [*commands_in(top), "dial-stdio"]:
        text = help_of(buildctl, command)
        yield command, flags_in(text, "OPTIONS")
        for inner in commands_in(text):
            yield f"{command} {inner}", flags_in(help_of(buildctl, command, inner), "OPTIONS")


def rows(section: str) -> dict[str, list[str]]:
    """The rows of a section's table by their first cell."""
    found = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            found[cells[0].strip("`")] = cells[1:]
    return found


def test_every_flag_of_every_command_is_there(buildctl: Path) -> None:
    names = set()
    for command, flags in everything(buildctl):
        title = command if command[0] == "F" else f"`buildctl {command}`"
        section = next(
            text for name, text in SECTIONS.items() if name == title or name.startswith(f"{title}:")
        )
        assert set(rows(section)) == flags, command
        names.add(command)
    assert {"build", "du", "prune", "prune-histories", "debug workers", "debug dump-metadata"} <= names


def test_every_flag_is_ours_too(buildctl: Path) -> None:
    """What the table calls the same is a flag of our command."""
    ours = {" ".join(words): parser_of(command, ["x", *words]) for words, command in leaves()}
    for command, flags in everything(buildctl):
        name = {"build": "solve", "F": "info"}.get(
            command if command != "Flags of all commands" else "F", command
        )
        if name == "debug":
            continue
        known = {flag for action in ours[name]._actions for flag in action.option_strings}
        assert flags - {"--version"} <= known, command


def all_tests() -> set[str]:
    """Names as the page writes them."""
    found = set()
    for name, module in MODULES.items():
        for value in vars(module).values():
            if isinstance(value, list) and value and isinstance(value[0], Case):
                found |= {f"{name}[{case.name}]" for case in value}
        found |= {f"{name}::{key}" for key in vars(module) if key.startswith("test_")}
    return found


def test_every_test_that_is_named_exists() -> None:
    known = all_tests()
    assert len([name for name in known if "[" in name]) >= 180
    named = [
        cells[-1] for section in SECTIONS.values() for cells in rows(section).values() if len(cells) == 2
    ]
    named += re.findall(r"\(`((?:outputs|builds|commands|integration|unit)[^`]*)`\)", PAGE)
    assert len(named) > 80
    for name in named:
        text = name.strip("`")
        if text == "none":
            continue
        exists = text in known or (ROOT / "tests" / text).exists()
        assert exists, text


def test_names_of_cases_are_used_once() -> None:
    for module in MODULES.values():
        names = [
            case.name
            for value in vars(module).values()
            if isinstance(value, list) and value and isinstance(value[0], Case)
            for case in value
        ]
        assert len(names) == len(set(names))


def test_every_command_that_buildctl_has_not_is_named() -> None:
    listed = " ".join(rows(SECTIONS["What buildctl has not"]))
    text = SECTIONS["What buildctl has not"]
    for words, command in leaves():
        if words[0] in ("history", "completion"):
            assert words[-1] in listed or f"`{words[-1]}`" in text, words
            assert not command.hidden


def test_the_library_example_runs(buildkitd: BuildkitdService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUILDKIT_HOST", buildkitd.address)
    with Client() as client:
        client.solve(llb.scratch().mkfile("/x", b"docs"))
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(example, "docs/buildctl.md", "exec"), {})

"""Completion in the shells themselves: a line, the tabulator, and what is offered."""

from __future__ import annotations

from pathlib import Path

import pytest

from pybuildkit.cli.main import main
from tests.support.shells import SHELLS, Completer

MODES = {"auto", "none", "plain", "quiet", "rawjson", "tty"}
HISTORY = {"follow", "inspect", "logs", "ls", "pin", "rm", "trace", "unpin"}


@pytest.fixture(params=SHELLS)
def complete(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Completer:
    """The shell, in a folder with some files."""
    assert main(["completion", request.param]) == 0
    for name in ("Dockerfile", "Dockerfile.dev"):
        (tmp_path / name).write_text("")
    (tmp_path / "data").mkdir()
    return Completer(request.param, capsys.readouterr().out, tmp_path)


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        pytest.param("pybuildkit so", {"solve"}, id="command"),
        pytest.param("pybuildkit pr", {"prune", "prune-histories"}, id="commands"),
        pytest.param("pybuildkit dial", set(), id="a command that only programs call"),
        pytest.param("pybuildkit history ", HISTORY, id="group"),
        pytest.param("pybuildkit --addr unix:///run/build hi", {"history"}, id="behind a value"),
        pytest.param(
            "pybuildkit --addr=unix:///run/x --debug debug du", {"dump-llb", "dump-metadata"}, id="="
        ),
        pytest.param("pybuildkit solve --fro", {"--frontend"}, id="flag"),
        pytest.param("pybuildkit history list --form", {"--format"}, id="flag of an alias"),
        pytest.param("pybuildkit debug workers --fo", {"--format"}, id="flag below a group"),
        pytest.param("pybuildkit build history --targ", {"--target"}, id="not the command but a path"),
        pytest.param("pybuildkit solve --progress ", MODES, id="values"),
        pytest.param("pybuildkit --log-format j", {"json"}, id="value of a common flag"),
        pytest.param("pybuildkit solve --opt sol", set(), id="any value"),
        pytest.param("pybuildkit debug logs --trace pl", set(), id="a flag that has a value elsewhere"),
        pytest.param("pybuildkit completion ", {"bash", "fish", "zsh"}, id="choices"),
        pytest.param("pybuildkit solve --metadata-file Dock", {"Dockerfile", "Dockerfile.dev"}, id="file"),
        pytest.param("pybuildkit build da", {"data"}, id="directory"),
        pytest.param("pybuildkit build -f Dockerfile.", {"Dockerfile.dev"}, id="file of a short flag"),
        pytest.param("pybuildkit du da", set(), id="no files"),
    ],
)
def test_what_is_offered(complete: Completer, line: str, offers: set[str]) -> None:
    assert complete(line) == offers


def test_a_value_behind_an_equals_sign(complete: Completer) -> None:
    """Fish offers the whole word, the others what is behind the sign."""
    start = "--progress=" if complete.shell == "fish" else ""
    assert complete("pybuildkit solve --progress=p") == {f"{start}plain"}


def test_each_command_offers_help(complete: Completer) -> None:
    for line in ("build", "history", "history rm", "debug ctl", "prune-histories"):
        assert complete(f"pybuildkit {line} --hel") == {"--help"}

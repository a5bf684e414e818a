"""Completion scripts: bash's function is called with words, the others are looked at."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pybuildkit.cli.arguments import PROG, leaves
from pybuildkit.cli.main import main


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def made(shell: str) -> str:
        assert main(["completion", shell]) == 0
        return capsys.readouterr().out

    return made


@pytest.fixture
def complete(script, tmp_path: Path):  # type: ignore[no-untyped-def]
    """What bash offers for words, the last of which is being typed."""
    (tmp_path / "script").write_text(script("bash"))
    (tmp_path / "Dockerfile").write_text("")
    (tmp_path / "data").mkdir()

    def offered(*words: str) -> list[str]:
        quoted = " ".join(f"'{word}'" for word in (PROG, *words))
        program = (
            "compopt() { :; }\n"
            f". ./script\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words)}\n"
            f'_{PROG}\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n'
        )
        done = subprocess.run(
            ["bash", "--norc", "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stderr == ""
        return sorted(done.stdout.split())

    return offered


@pytest.mark.parametrize(
    ("words", "offers"),
    [
        (["pr"], ["prune", "prune-histories"]),
        (["history", ""], ["follow", "inspect", "logs", "ls", "pin", "rm", "trace", "unpin"]),
        (["--addr", "unix:///x", "debug", "du"], ["dump-llb", "dump-metadata"]),
        (["solve", "--fro"], ["--frontend"]),
        (["solve", "--progress", ""], ["auto", "none", "plain", "quiet", "rawjson", "tty"]),
        (["solve", "--progress", "=", "p"], ["plain"]),
        (["solve", "--progress", "="], ["auto", "none", "plain", "quiet", "rawjson", "tty"]),
        (["solve", "--opt", "x"], []),
        (["solve", "--metadata-file", "D"], ["Dockerfile"]),
        (["build", "da"], ["data"]),
        (["build", "--file", "Dock"], ["Dockerfile"]),
        (["history", "logs", "--prog"], ["--progress"]),
        (["completion", ""], ["bash", "fish", "zsh"]),
        (["--log-format", "j"], ["json"]),
        (["di"], []),
    ],
)
def test_bash(complete, words: list[str], offers: list[str]) -> None:  # type: ignore[no-untyped-def]
    assert complete(*words) == offers


def test_zsh_and_fish_know_every_command_and_flag(script) -> None:  # type: ignore[no-untyped-def]
    zsh, fish = script("zsh"), script("fish")
    for words, command in leaves():
        function = "_".join(("_pybuildkit", *words)).replace("-", "_")
        assert (f"\n{function}() {{" in zsh) is not command.hidden
        assert (f" -a {words[-1]} -d " in fish) is not command.hidden
    for flag in ("--frontend", "--debug-json-cache-metrics", "--addr", "--keep-storage-min"):
        assert f"*{flag}" in zsh
        assert f" -l {flag[2:]}" in fish
    assert "(auto plain tty quiet rawjson none)" in zsh
    assert "'auto plain tty quiet rawjson none'" in fish

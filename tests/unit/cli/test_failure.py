"""What is printed when something fails, and in what order (B16)."""

from __future__ import annotations

import argparse
import json

import pytest

from pybuildkit.cli import log
from pybuildkit.cli.failure import print_failure
from pybuildkit.cli.lint import print_warnings
from pybuildkit.details import DecisionResponse, Frame, SourceError, Stack
from pybuildkit.errors import BuildError, ConfigError, ExecError
from pybuildkit.events import Position, Range, SourceInfo, VertexWarning

SOURCE = SourceInfo("Dockerfile", b"FROM a\nRUN b\nRUN c\n")


def at(line: int) -> tuple[Range, ...]:
    return (Range(Position(line), Position(line)),)


def shown(capsys: pytest.CaptureFixture[str], error: Exception, **args: bool) -> str:
    print_failure(error, argparse.Namespace(**{"debug": False, **args}))  # type: ignore[arg-type]
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_all_sources_then_the_policy_then_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    """C54, C59: Go prints every source; the same one need not come twice."""
    details = (
        SourceError(SOURCE, at(2)),
        DecisionResponse("DENY", ("not from there",)),
        SourceError(SOURCE, at(3)),
        SourceError(SOURCE, at(2)),
        SourceError(SOURCE),
    )
    text = shown(capsys, BuildError("it failed", log="out\n", vertex="v", details=details))
    assert [line for line in text.splitlines() if ">>>" in line or ":" in line] == [
        "Dockerfile:2",
        "   2 | >>> RUN b",
        "Dockerfile:3",
        "   3 | >>> RUN c",
        "policy deny: not from there",
        "error: failed to solve: it failed",
    ]
    assert "out" not in text.splitlines()


def test_the_log_comes_when_nobody_has_seen_it(capsys: pytest.CaptureFixture[str]) -> None:
    error = ExecError("RUN b failed", log="why\n", vertex="[2/2] RUN b")
    assert shown(capsys, error, log_shown=True) == "error: failed to solve: RUN b failed\n"
    assert shown(capsys, error, log_shown=False) == (
        "------\n > [2/2] RUN b:\nwhy\n------\nerror: failed to solve: RUN b failed\n"
    )
    assert "its last output follows" in str(error)


def test_other_errors_are_their_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, ConfigError("bad value 'x'")) == "error: bad value 'x'\n"


def test_stacks_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    """C60: as Go prints them, then ours."""
    stack = Stack((Frame("main.main", "a.go", 7),), ("buildkitd",), 1, "v0.32.2")
    try:
        raise BuildError("it failed", details=(stack,))
    except BuildError as exc:
        text = shown(capsys, exc, debug=True)
    assert text.startswith("error: failed to solve: it failed\n1 v0.32.2 buildkitd\nmain.main\n\ta.go:7\n")
    assert "test_failure.py" in text


@pytest.fixture
def quiet_style(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log._Style, "json", False)


def test_warnings_as_lines_and_as_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, quiet_style: None
) -> None:
    """B3."""
    import warnings

    with warnings.catch_warnings():
        log.show_warnings("text")
        warnings.warn("careful", stacklevel=1)
        log.warn("really")
        assert capsys.readouterr().err == "warning: careful\nwarning: really\n"
        log.show_warnings("json")
        warnings.warn("careful", stacklevel=1)
        found = json.loads(capsys.readouterr().err)
    assert (found["level"], found["msg"]) == ("warning", "careful")
    assert found["time"].endswith("Z")


WARNINGS = (
    VertexWarning(
        "d",
        "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)",
        1,
        ("Casing should match",),
        "https://docs.example/rule",
        SOURCE,
        at(1),
    ),
    VertexWarning("d", "Other: thing"),
)


def test_the_summary_of_warnings(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """P22, as buildx prints it."""
    print_warnings(WARNINGS, debug=False)
    assert capsys.readouterr().err == (
        "\n 2 warnings found (use --debug to expand):\n"
        " - FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 1)\n - Other: thing\n"
    )
    print_warnings(WARNINGS[:1], debug=True)
    text = capsys.readouterr().err
    assert text.startswith("\n 1 warning found:\n - FromAsCasing")
    assert "Casing should match\nMore info: https://docs.example/rule\nDockerfile:1\n" in text
    assert "   1 | >>> FROM a" in text

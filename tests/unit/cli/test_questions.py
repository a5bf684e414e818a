"""``--call``: how it is written."""

from __future__ import annotations

import pytest

from pybuildkit.cli.questions import Question, parse_question
from pybuildkit.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("build", None),
        ("check", Question("lint")),
        ("lint", Question("lint")),
        ("outline", Question("outline")),
        ("targets,format=json", Question("targets", json=True)),
        ("format=json,check,ignorestatus=true", Question("lint", json=True, ignore_status=True)),
        ("check,format=text,ignorestatus=0", Question("lint")),
        ("describe", Question("subrequests.describe")),
        ("subrequests.describe", Question("subrequests.describe")),
        ("something.else", Question("something.else")),
    ],
)
def test_what_is_asked(text: str, question: Question | None) -> None:
    assert parse_question(text) == question


@pytest.mark.parametrize(
    "text", ["", ",", "a,b", "a,format=xml", "a,ignorestatus=perhaps", "a,x=y", "format=json"]
)
def test_what_can_not_be_asked(text: str) -> None:
    with pytest.raises(ConfigError, match="--call"):
        parse_question(text)

"""Answers of frontends: reading them, and buildx's texts for them (V77, V78)."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from pybuildkit.errors import FrontendError, RPCError
from pybuildkit.subrequests import Answer, Description, Lint, Outline, Targets
from pybuildkit.subrequests.places import columns

SOURCE = base64.b64encode(b"FROM a\nRUN b\nRUN c\n").decode()


def answer(document: Any, **metadata: str) -> Answer:
    found = {
        "result.json": json.dumps(document),
        **{key.replace("_", "."): value for key, value in metadata.items()},
    }
    return Answer({key: value.encode() for key, value in found.items()})


def at(line: int, index: int = 0) -> dict[str, Any]:
    place: dict[str, Any] = {"ranges": [{"start": {"line": line}, "end": {"line": line}}]}
    return place | ({"sourceIndex": index} if index else {})


def test_a_lint() -> None:
    lint = Lint.read(
        answer(
            {
                "warnings": [
                    {"ruleName": "Late", "detail": "late", "url": "https://x", "location": at(3)},
                    {"ruleName": "Early", "detail": "early", "location": at(2)},
                    {"ruleName": "Nowhere", "detail": "nowhere", "location": {"sourceIndex": -1}},
                ],
                "sources": [{"filename": "Dockerfile", "data": SOURCE, "language": "Dockerfile"}],
            },
            result_statuscode="1",
        )
    )
    assert not lint.ok
    assert lint.answer.status_code == 1
    assert [warning.rule for warning in lint.warnings] == ["Late", "Early", "Nowhere"]
    text = lint.text()
    assert text.startswith(
        "Check complete, 3 warnings have been found!\n\nWARNING: Nowhere\nnowhere\n\nWARNING: Early"
    )
    assert "WARNING: Late - https://x\nlate\nDockerfile:3\n--------------------\n" in text
    assert "   3 | >>> RUN c\n" in text
    assert "/else/D:3\n" in lint.text("/else/D")


def test_a_lint_with_an_error() -> None:
    lint = Lint.read(
        answer(
            {
                "warnings": [],
                "sources": [{"filename": "D", "data": SOURCE}],
                "buildError": {"message": "it can not be", "location": at(2)},
            }
        )
    )
    assert not lint.ok
    assert lint.text() == ""
    assert lint.error is not None
    assert lint.error.place is not None
    assert lint.error.place.line == 2
    assert lint.error_text().startswith("it can not be\nD:2\n----")


def test_a_clean_lint() -> None:
    lint = Lint.read(answer({"warnings": None, "sources": None}))
    assert lint.ok
    assert lint.text() == "Check complete, no warnings found.\n"
    assert lint.error_text() == ""
    one = Lint.read(answer({"warnings": [{"ruleName": "R", "detail": "d"}], "sources": []}))
    assert one.text() == "Check complete, 1 warning has been found!\n\nWARNING: R\nd\n"


def test_an_outline() -> None:
    outline = Outline.read(
        answer(
            {
                "name": "out",
                "description": "makes it",
                "args": [
                    {"name": "A", "value": "1", "description": "first"},
                    {"name": "LONGER", "location": at(2)},
                ],
                "secrets": [{"name": "tok", "required": True}],
                "ssh": [{"name": "default"}],
                "cache": [{"ID": "cc", "location": at(3)}],
                "sources": [SOURCE],
            }
        )
    )
    assert outline.text() == (
        "TARGET:      out\nDESCRIPTION: makes it\n\n"
        "BUILD ARG   VALUE   DESCRIPTION\nA           1       first\nLONGER              \n\n"
        "SECRET   REQUIRED\ntok      true\n\n"
        "SSH       REQUIRED\ndefault   \n\n"
    )
    assert outline.caches[0].id == "cc"
    assert outline.caches[0].place is not None
    assert outline.args[1].place is not None
    assert outline.args[1].place.line == 2
    assert outline.sources == (b"FROM a\nRUN b\nRUN c\n",)
    assert Outline.read(answer({})).text() == ""
    assert Outline.read(answer({"description": "x"})).text() == "TARGET:      (default)\nDESCRIPTION: x\n\n"


def test_targets() -> None:
    targets = Targets.read(
        answer(
            {
                "targets": [
                    {"name": "base", "base": "alpine", "platform": "linux/amd64", "location": at(1)},
                    {"name": "out", "default": True, "description": "makes it"},
                ],
                "sources": [SOURCE],
            }
        )
    )
    assert targets.text() == "TARGET        DESCRIPTION\nbase          \nout (default) makes it\n"
    assert (targets.targets[0].base, targets.targets[0].platform) == ("alpine", "linux/amd64")
    nameless = Targets.read(answer({"targets": [{"default": True}]}))
    assert nameless.text() == "TARGET    DESCRIPTION\n(default) \n"


def test_a_description() -> None:
    description = Description.read(
        answer(
            [
                {
                    "name": "frontend.x",
                    "version": "1.2",
                    "type": "rpc",
                    "description": "d",
                    "opts": [{"name": "o"}],
                    "inputs": None,
                }
            ]
        )
    )
    (request,) = description.requests
    assert (request.name, request.type, request.options[0].name, request.inputs) == (
        "frontend.x",
        "rpc",
        "o",
        (),
    )
    assert description.text() == "NAME VERSION DESCRIPTION\nx    1.2     d\n"


@pytest.mark.parametrize("kind", [Lint, Outline, Targets])
def test_answers_in_a_newer_form_are_printed_as_they_are(kind: Any) -> None:
    newer = answer({}, version="1.10.0", result_txt="their own text\n")
    assert kind.read(newer).text() == "their own text\n"
    assert kind.read(answer({}, version="1.10.0")).text() != "their own text\n"
    assert kind.read(answer({}, version="1.0.0", result_txt="x")).text() != "x"


@pytest.mark.parametrize(
    ("kind", "document"),
    [
        (Lint, []),
        (Lint, {"warnings": 5}),
        (Lint, {"warnings": [5]}),
        (Lint, {"sources": [{"data": "*"}]}),
        (Lint, {"warnings": [{"location": {"ranges": [{"start": {"line": "x"}}]}}]}),
        (Outline, {"args": {}}),
        (Outline, {"sources": ["*"]}),
        (Targets, "x"),
        (Description, {}),
    ],
)
def test_answers_that_can_not_be_read(kind: Any, document: Any) -> None:
    with pytest.raises(RPCError, match="can not be read"):
        kind.read(answer(document))


@pytest.mark.parametrize("kind", [Lint, Outline, Targets, Description])
def test_no_answer(kind: Any) -> None:
    with pytest.raises(FrontendError, match="no answer"):
        kind.read(Answer({}))
    with pytest.raises(RPCError, match="can not be read"):
        kind.read(Answer({"result.json": b"{"}))


def test_exit_codes() -> None:
    assert Answer({"result.statuscode": b"3"}).status_code == 3
    assert Answer({"result.statuscode": b"-1"}).status_code == 0
    assert Answer({}).status_code == 0
    assert Answer({}).text == ""


def test_columns() -> None:
    assert columns([("a", "b"), ("ccc", "")], 2) == "a    b\nccc  \n"

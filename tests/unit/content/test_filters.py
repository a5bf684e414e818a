"""Filter expressions, with containerd's own parser as the judge."""

from __future__ import annotations

import json
import random
import subprocess
from functools import cache

import pytest

from pybuildkit.content.filters import compile_filters
from pybuildkit.errors import ContentError
from tests.support.goprograms import program

go_tool = cache(program)

FIELDS = {"digest": "sha256:abc", "ref": "layer-1", "size": "10", "labels.a b": "x,y", "labels.c.d": "é"}

CASES = [
    [],
    [""],
    ["digest"],
    ["nothing"],
    ["digest==sha256:abc"],
    ["digest==sha256:abd"],
    ["digest!=sha256:abc"],
    ["nothing!=x"],
    ["ref~=^layer"],
    ["ref~=/^layer-[0-9]$/"],
    ["ref~=|1|"],
    ["ref~=("],
    ["ref==/x/"],
    ['labels."a b"=="x,y"'],
    ['"digest"=="sha256:abc"'],
    ["labels.c.d==é"],
    ["labels.c.d"],
    ["digest,ref"],
    ["digest,nothing"],
    ["nothing", "ref"],
    ["digest, ref"],
    ["digest ==sha256:abc"],
    ["digest== sha256:abc"],
    ["digest=sha256:abc"],
    ["digest==="],
    ["digest=="],
    ["digest,"],
    [",digest"],
    ["digest."],
    [".digest"],
    ["digest ref"],
    ['digest=="sha256'],
    ['digest=="sha256:\\x61bc"'],
    ['digest=="sha256:\\141bc"'],
    ['digest=="sha256:\\u0061bc"'],
    ['digest=="sha256:\\qbc"'],
    ["di-gest"],
    ["size==10"],
    ["ref~=layer,size==10"],
    ['ref~="lay\\"er"'],
    ["a\0b"],
]


def ours(filters: list[str]) -> str:
    try:
        matches = compile_filters(filters)
    except ContentError as exc:
        return "error" if exc.reason == "invalid" else exc.reason
    return str(matches(lambda path: FIELDS.get(".".join(path)))).lower()


def test_by_hand() -> None:
    assert ours(["ref==layer-1,digest~=abc"]) == "true"
    assert ours(["ref==layer-2,digest~=abc"]) == "false"
    assert ours(["ref==layer-2", "digest~=abc"]) == "true"
    assert ours(["ref<layer"]) == "error"


def test_as_containerd_does() -> None:
    """S94: the table above, and 2,000 expressions put together at random."""
    rng = random.Random(7)
    parts = [
        "digest",
        "ref",
        "labels",
        ".",
        ",",
        "==",
        "!=",
        "~=",
        "sha256:abc",
        '"a b"',
        "layer",
        " ",
        "x",
        "/y/",
        "10",
    ]
    cases = CASES + [["".join(rng.choices(parts, k=rng.randint(1, 6)))] for _ in range(2000)]
    questions = "".join(json.dumps({"filters": case, "fields": FIELDS}) + "\n" for case in cases)
    done = subprocess.run(
        [go_tool("ocistore"), "filters"],
        input=questions.encode(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    theirs = done.stdout.decode().split()
    # A regular expression that does not compile matches nothing in Go, silently; here it is an error.
    differences = [
        (case, answer, ours(case))
        for case, answer in zip(cases, theirs, strict=True)
        if ours(case) != answer and not (case == ["ref~=("] and (answer, ours(case)) == ("false", "error"))
    ]
    assert differences == []


@pytest.mark.parametrize("text", ["digest=", 'ref=="'])
def test_errors_show_where(text: str) -> None:
    with pytest.raises(ContentError, match=r">\|<"):
        compile_filters([text])

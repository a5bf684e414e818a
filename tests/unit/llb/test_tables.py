"""Smaller questions to Go's client, each in a table of its own: git addresses, words, capabilities."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pybuildkit import llb
from pybuildkit.errors import DefinitionError
from pybuildkit.llb.caps import Capability, CapSet
from pybuildkit.llb.schema import decode_op
from tests.support.goprograms import VECTORS


def table(name: str) -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = json.loads((VECTORS / f"llb-{name}.json").read_text(encoding="utf-8"))
    return cases


def test_git_addresses_are_read_as_go_reads_them() -> None:
    """L6, L7: gitutil.ParseURL and llb.Git. The fragment is the ref here, where Go's llb.Git forgets it."""
    cases = table("giturls")
    assert len(cases) >= 500
    refused = 0
    for case in cases:
        url, wanted = case["in"], case["out"]
        try:
            op = decode_op(llb.git(url).marshal(source_map=False).ops[0])["Op"]["source"]
        except DefinitionError:
            assert "error" in wanted or makes_no_sense(url, wanted), url
            refused += 1
            continue
        assert "error" not in wanted, url
        ref, subdir = wanted.get("ref", ""), wanted.get("subdir", "")
        place = f"#{ref}" + (f":{subdir}" if subdir else "") if ref or subdir else ""
        assert op["identifier"] == wanted["identifier"] + place, url
        assert op["attrs"]["git.fullurl"] == wanted["full_url"], url
        assert ("git.mountsshsock" in op["attrs"]) == wanted.get("ssh", False), url
    assert refused < len(cases) // 2


def makes_no_sense(url: str, wanted: dict[str, Any]) -> bool:
    """What Go lets through and the daemon could do nothing with."""
    host = wanted.get("host", "")
    return (
        not host
        or host.startswith("::")  # an IPv6 address without brackets
        or "?" in url  # a query goes nowhere
        or "\0" in wanted["path"]
    )


@pytest.mark.parametrize(
    "url",
    ["https://u:secret@h o/x", "https://u:sec@ret@h:x/y", "u:secret@host:a", "https://u:secret w@h/x?z"],
)
def test_a_password_is_not_in_an_error(url: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        llb.git(url)
    assert "ret" not in str(caught.value)


def test_words_are_split_as_go_splits_them() -> None:
    """L45: google/shlex."""
    cases = table("shlex")
    assert len(cases) >= 200
    for case in cases:
        try:
            words = llb.shlex(case["in"])
        except DefinitionError:
            assert "error" in case or "\0" in case["in"], case
        else:
            assert words == case.get("out"), case


def test_capabilities_are_judged_as_go_judges_them() -> None:
    """L90: apicaps.CapSet.Supports; the texts are the daemon's, but for the name of the product."""
    cases = table("caps")
    assert {case["in"]["id"] for case in cases} >= llb.KNOWN_CAPABILITIES
    for case in cases:
        question = case["in"]
        given = [Capability(c["id"], c["enabled"], message=c.get("reason", "")) for c in question["have"]]
        caps = CapSet(given)
        error = case.get("error", "")
        assert caps.supports(question["id"]) == (not error), case
        text = " ".join(error.split())
        if text.endswith("please update") or question.get("product"):
            text = text.removesuffix(question.get("product", "")).strip() + " buildkitd"
        assert caps.why_not(question["id"]).strip() == text, case

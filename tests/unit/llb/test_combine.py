"""Merge, diff, pass-through, nested builds (L10 to L13)."""

from __future__ import annotations

import pytest

from pybuildkit import llb
from pybuildkit.errors import DefinitionError
from tests.unit.llb.reading import caps, marshal, op, ops, what


def test_merge_leaves_empty_states_out() -> None:
    """L10: none left is empty, one left is that one; inputs are not made distinct."""
    a, b = llb.image("a").env(A="1"), llb.image("b")
    assert marshal(llb.merge()).ops == ()
    assert marshal(llb.merge(llb.scratch(), llb.scratch())).ops == ()
    assert llb.merge(llb.scratch(), a) is a
    merged = llb.merge(llb.scratch(), a, b, a)
    assert what(merged) == {"inputs": [{}, {"input": 1}, {"input": 2}]}
    assert len(op(merged)["inputs"]) == 3
    assert "platform" not in op(merged)
    assert merged.config().env == {"A": "1"}
    assert caps(merged) == {"mergeop"}


def test_diff() -> None:
    """L11: an empty lower is the upper, an empty upper is input -1."""
    a, b = llb.image("a").env(A="1"), llb.image("b")
    assert llb.diff(llb.scratch(), b) is b
    assert marshal(llb.diff(llb.scratch(), llb.scratch())).ops == ()
    assert what(llb.diff(a, b)) == {"lower": {}, "upper": {"input": 1}}
    assert what(llb.diff(a, llb.scratch())) == {"lower": {}, "upper": {"input": -1}}
    assert what(llb.diff(a, a)) == {"lower": {}, "upper": {"input": 1}}
    assert llb.diff(a, b).config().env == {"A": "1"}
    assert caps(llb.diff(a, b)) == {"diffop"}


def test_passthrough() -> None:
    """L12: several outputs, dependencies only waited for, empty states left out."""
    inputs: list[llb.State | llb.PassthroughInput] = [
        llb.image("a"),
        llb.PassthroughInput(llb.image("b"), output=False),
        llb.scratch(),
        llb.image("c"),
    ]
    through = llb.passthrough("id", inputs)
    assert what(through) == {"id": "id", "outputs": [0, 2]}
    assert len(op(through)["inputs"]) == 3
    assert ops(through[0])[-1] == ops(through)[-1]
    assert ops(through[1])[-1]["inputs"][0]["index"] == 1
    for wrong in (2, -1, "a"):
        with pytest.raises(DefinitionError, match="does not exist, there are 2"):
            through[wrong]  # type: ignore[index]
    with pytest.raises(DefinitionError, match="gives nothing on"):
        llb.passthrough("id", [llb.PassthroughInput(llb.image("b"), output=False)])
    with pytest.raises(DefinitionError, match="id is empty"):
        llb.passthrough("", [llb.image("a")])


def test_build() -> None:
    """L13: it has a platform, and always the capability for a filename."""
    state = llb.build(llb.image("a").dir("/x"), "f", platform="linux/arm64")
    assert what(state) == {
        "builder": -1,
        "inputs": {"buildkit.llb.definition": {}},
        "attrs": {"llbbuild.filename": "f"},
    }
    assert op(state)["platform"]["Architecture"] == "arm64"
    assert "attrs" not in what(llb.build(llb.image("a")))
    assert caps(state) == {"source.buildop.llbfilename"}
    assert state.config().dir == "/x"
    with pytest.raises(DefinitionError, match="must hold the file of a definition"):
        llb.build(llb.scratch())

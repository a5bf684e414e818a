"""L87, L88: the golden graphs, made by Go's client, made here: the same bytes."""

from __future__ import annotations

import pytest

from pybuildkit.errors import DefinitionError
from pybuildkit.llb import Definition
from tests.unit.llb.golden import GRAPHS, MARSHAL_OPTIONS, VECTORS

GOOD = [name for name, vector in VECTORS.items() if "error" not in vector]
BAD = [name for name, vector in VECTORS.items() if "error" in vector]


def test_every_vector_is_written() -> None:
    assert list(GRAPHS) == list(VECTORS)
    assert len(VECTORS) == 50


def marshal(name: str) -> Definition:
    options: dict[str, object] = {"platform": "linux/amd64", **MARSHAL_OPTIONS.get(name, {})}
    return GRAPHS[name]().marshal(unique_id="uid0", source_map=False, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", GOOD)
def test_ops_digests_metadata_and_source_map_are_those_of_go(name: str) -> None:
    vector = VECTORS[name]
    made = marshal(name)
    assert [op.hex() for op in made.ops] == (vector.get("def_hex") or [])
    assert list(made.digests) == (vector.get("digests") or [])
    assert made.to_bytes().hex() == vector.get("definition_deterministic_hex", "")


@pytest.mark.parametrize("name", GOOD)
def test_a_definition_reads_back(name: str) -> None:
    """L89: ops keep their bytes, everything else its meaning."""
    made = marshal(name)
    again = Definition.from_bytes(made.to_bytes())
    assert again == made
    assert again.ops == made.ops
    assert again.head == made.head
    assert again.metadata == made.metadata


@pytest.mark.parametrize("name", BAD)
def test_what_go_refuses_when_it_marshals_is_refused_by_the_call(name: str) -> None:
    with pytest.raises(DefinitionError):
        GRAPHS[name]()

"""Random graphs, made here and by Go's client from the same description: the same digests."""

from __future__ import annotations

import json
import random
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import llbjson
from tests.support.goprograms import GraphOracle, ask_all, program
from tests.support.llbrandom import Graphs

COUNT = 1000


@pytest.fixture(scope="module")
def oracle() -> Generator[GraphOracle]:
    running = GraphOracle(program("llbvectors"))
    yield running
    running.close()


def check(graph: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert "error" not in wanted, wanted
    made = llbjson.Builder(graph).marshal()
    assert list(made.digests) == wanted.get("digests", []), json.dumps(graph)
    if not places_twice(graph):
        assert llbjson.digest_of(made.to_bytes()) == wanted["definition_sha256"], json.dumps(graph)


def places_twice(graph: dict[str, Any]) -> bool:
    """Whether Go may note a place twice: of a loaded op with several outputs (see ``srcmap-definition-outputs``)."""
    return any(node["kind"] == "definition" for node in graph["nodes"]) and bool(graph["maps"])


def test_a_thousand_graphs() -> None:
    graphs = [Graphs(random.Random(seed)).graph(str(seed)) for seed in range(COUNT)]
    answers = ask_all(program("llbvectors"), graphs)
    assert len(answers) == COUNT
    ops = 0
    for graph, wanted in zip(graphs, answers, strict=True):
        check(graph, wanted)
        ops += len(wanted.get("digests", ()))
    assert ops > 5 * COUNT


def test_large_graphs() -> None:
    graphs = [Graphs(random.Random(seed), 400).graph(str(seed)) for seed in range(10)]
    for graph, wanted in zip(graphs, ask_all(program("llbvectors"), graphs), strict=True):
        check(graph, wanted)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False), size=st.integers(1, 12))
def test_graphs_that_shrink(oracle: GraphOracle, rng: random.Random, size: int) -> None:
    graph = Graphs(rng, size).graph()
    check(graph, oracle.ask(graph))


def test_the_generator_uses_every_kind() -> None:
    kinds = {node["kind"] for seed in range(200) for node in Graphs(random.Random(seed)).graph()["nodes"]}
    makers = {name.removeprefix("make_") for name in dir(llbjson.Builder) if name.startswith("make_")}
    assert makers - kinds == {"source", "get_mount", "marshal_defaults"}

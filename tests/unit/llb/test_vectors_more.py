"""L1 to L92: graphs described in JSON, marshalled by Go's client (``tools/cmd/llbvectors``) and here: the same bytes."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pybuildkit import llb
from pybuildkit.errors import DefinitionError
from tests.support import llbjson
from tests.support.goprograms import VECTORS, ask_all, program

NETWORKS = {"UNSET": "sandbox", "HOST": "host", "NONE": "none"}


def graphs(name: str) -> dict[str, dict[str, Any]]:
    lines = (VECTORS / name).read_text(encoding="utf-8").split("\n")
    return {graph["name"]: graph for graph in map(json.loads, filter(None, lines))}


GRAPHS = graphs("llb-graphs.jsonl")
MORE = {v["name"]: v for v in json.loads(gzip.decompress((VECTORS / "llb-more.json.gz").read_bytes()))}
GOLDEN_GRAPHS = graphs("llb-golden-graphs.jsonl")
GOLDEN = {v["name"]: v for v in json.loads((VECTORS / "llb-golden.json").read_text(encoding="utf-8"))}

SAME = [
    name
    for name, graph in GRAPHS.items()
    if not {"refused", "differs"} & graph.keys() and "error" not in MORE[name]
]
REFUSED = [name for name, graph in GRAPHS.items() if "refused" in graph]
BAD = [name for name in GRAPHS if "error" in MORE[name] and "differs" not in GRAPHS[name]]


def test_every_row_is_touched() -> None:
    assert list(GRAPHS) == list(MORE)
    assert len(SAME) >= 300
    assert {row for graph in GRAPHS.values() for row in graph["rows"]} == {f"L{n}" for n in range(1, 93)}


@pytest.mark.parametrize("name", SAME)
def test_a_graph_is_the_same_as_in_go(name: str) -> None:
    vector = MORE[name]
    builder = llbjson.Builder(GRAPHS[name])
    made = builder.marshal()
    assert [op.hex() for op in made.ops] == vector.get("def_hex", [])
    assert list(made.digests) == vector.get("digests", [])
    assert made.head == vector.get("head", "")
    assert made.metadata == {digest: metadata(value) for digest, value in vector.get("metadata", {}).items()}
    # All of it once more, and where the ops come from.
    assert llbjson.digest_of(made.to_bytes()) == vector["definition_sha256"]
    assert builder.asked == vector.get("resolved", [])
    if "state" in vector:
        check_state(builder, vector["state"])
    if "dump" in vector:
        check_dump(made, vector["dump"])


def metadata(value: dict[str, Any]) -> llb.OpMetadata:
    """Metadata as Go's JSON has it."""
    group, limits = value.get("progress_group"), value.get("linux_resources")
    names = {
        "memory": "memory", "memorySwap": "memory_swap", "cpuShares": "cpu_shares", "cpuPeriod": "cpu_period",
        "cpuQuota": "cpu_quota", "cpusetCpus": "cpuset_cpus", "cpusetMems": "cpuset_mems",
    }  # fmt: skip
    return llb.OpMetadata(
        ignore_cache=value.get("ignore_cache", False),
        description=value.get("description", {}),
        export_cache=value["export_cache"].get("Value", False) if "export_cache" in value else None,
        caps=frozenset(value.get("caps", {})),
        progress_group=None
        if group is None
        else llb.ProgressGroup(group.get("id", ""), group.get("name", ""), group.get("weak", False)),
        resources=None if limits is None else llb.Resources(**{names[key]: v for key, v in limits.items()}),
    )


def check_state(builder: llbjson.Builder, wanted: dict[str, Any]) -> None:
    """L24 to L28: what a state answers when it is asked."""
    state = builder.states[builder.graph.get("out", -1)]
    config = state.config()
    assert [f"{name}={value}" for name, value in config.env.items()] == wanted["env"]
    assert config.dir == wanted["dir"]
    assert config.hostname == wanted.get("hostname", "")
    assert str(config.platform or "") == wanted.get("platform", "")
    assert config.network == NETWORKS[wanted["network"]]
    assert config.security == wanted["security"].lower()


def check_dump(made: llb.Definition, wanted: list[dict[str, Any]]) -> None:
    """L92: the lines of ``buildctl debug dump-llb``, which knows nothing of symlinks."""
    lines = [json.loads(line) for line in made.to_json().split("\n") if line]
    for line in lines:
        line.pop("Source", None)
        for action in line["Op"]["Op"].get("file", {}).get("actions", ()):
            action["Action"].pop("symlink", None)
    assert lines == wanted


@pytest.mark.parametrize("name", BAD)
def test_what_go_can_not_marshal_is_an_error(name: str) -> None:
    with pytest.raises((DefinitionError, RuntimeError, llbjson.Unsupported)):
        llbjson.Builder(GRAPHS[name]).marshal()


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name: str) -> None:
    """Go accepts these; ``refused`` in the description says what is wrong with each."""
    with pytest.raises((DefinitionError, llbjson.Unsupported)):
        llbjson.Builder(GRAPHS[name]).marshal()


def test_what_differs_is_meant() -> None:
    """``differs`` in the description says how."""

    def op(name: str) -> llb.Definition:
        return llbjson.Builder(GRAPHS[name]).marshal()

    assert {name for name, graph in GRAPHS.items() if "differs" in graph} == {
        "async-scratch", "git-fragment-in-url", "srcmap-definition-outputs", "srcmap-state-scratch", "user-uint32",
    }  # fmt: skip
    assert len(op("async-scratch")) == 2
    assert b"git://host/a.git#branch:dir" in op("git-fragment-in-url").ops[0]
    assert b"\x10\x80\xbc\xc1\x96\x0b" in op("user-uint32").ops[1]
    for name in ("srcmap-definition-outputs", "srcmap-state-scratch"):
        assert list(op(name).digests) == MORE[name]["digests"]
    assert op("srcmap-state-scratch").files[0].definition == b""
    outputs = op("srcmap-definition-outputs")
    assert len(outputs.locations(outputs.digests[0])) == 1


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_graphs_are_described_too(name: str) -> None:
    """L87: so the descriptions themselves are checked against vectors that another program made."""
    made = llbjson.run(GOLDEN_GRAPHS[name])
    vector = GOLDEN[name]
    assert ("error" in made) == ("error" in vector)
    assert made.get("digests", []) == vector.get("digests", [])
    assert made.get("def_hex", []) == vector.get("def_hex", [])


def test_go_gives_the_golden_vectors() -> None:
    """L87: the oracle agrees with the program that made the golden file."""
    for made in ask_all(program("llbvectors"), GOLDEN_GRAPHS.values()):
        vector = GOLDEN[made["name"]]
        for key in ("error", "def_hex", "digests", "metadata", "source"):
            assert made.get(key) == vector.get(key), (made["name"], key)
        if whole := vector.get("definition_deterministic_hex"):
            assert made["definition_sha256"] == llbjson.digest_of(bytes.fromhex(whole))


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go, the oracle")
def test_the_vectors_are_what_go_gives(tmp_path: Path) -> None:
    kept = ("llb-graphs.jsonl", "llb-caps.json", "llb-giturls.json", "llb-shlex.json")
    for name in kept:
        shutil.copy(VECTORS / name, tmp_path)
    subprocess.run([str(program("llbvectors")), "write", str(tmp_path)], check=True, timeout=120)
    fresh = json.loads(gzip.decompress((tmp_path / "llb-more.json.gz").read_bytes()))
    assert {vector["name"]: vector for vector in fresh} == MORE
    for name in kept:
        assert (tmp_path / name).read_bytes() == (VECTORS / name).read_bytes(), name

"""T1, T2, T3, T17: what breaks other clients. Our encoder uses no protobuf runtime; both read what it writes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pybuildkit import llb
from pybuildkit.llb.schema import inputs_of
from tests.unit.llb.golden import GRAPHS, MARSHAL_OPTIONS, VECTORS, busy

ROOT = Path(__file__).parents[3]

# Reads a definition with the generated stubs, and says what is in it. Run under each runtime.
READER = """
import hashlib, sys
from google.protobuf.internal import api_implementation
from pybuildkit._pb import ops_pb2
assert api_implementation.Type() == sys.argv[1], api_implementation.Type()
for line in sys.stdin:
    definition = ops_pb2.Definition.FromString(bytes.fromhex(line))
    digests = ["sha256:" + hashlib.sha256(op).hexdigest() for op in getattr(definition, "def")]
    ops = [ops_pb2.Op.FromString(op) for op in getattr(definition, "def")]
    for op, raw in zip(ops, getattr(definition, "def")):
        op.DiscardUnknownFields()
        assert len(op.SerializeToString()) == len(raw), "a field is not known to the stubs"
        for given in op.inputs:
            assert given.digest in digests, given.digest
    print(",".join(op.WhichOneof("op") or "terminal" for op in ops) or "empty", len(definition.metadata), len(definition.Source.infos))
"""


def everything() -> list[llb.Definition]:
    made = []
    for name, graph in GRAPHS.items():
        if "error" not in VECTORS[name]:
            options: dict[str, Any] = {"platform": "linux/amd64", **MARSHAL_OPTIONS.get(name, {})}
            made.append(graph().marshal(unique_id="uid0", **options))
    return made


@pytest.mark.parametrize("runtime", ["upb", "python"])
def test_t1_t2_both_runtimes_read_our_bytes(runtime: str) -> None:
    """Every field that we write has a name in the wire contract, and both runtimes agree on it."""
    made = everything()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READER, runtime],
        input="\n".join(d.to_bytes().hex() for d in made),
        env={**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": runtime},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(made)
    for line, definition in zip(lines, made, strict=True):
        kinds, metadata, infos = line.split()
        if definition.ops:
            assert kinds.endswith("terminal")
        assert int(metadata) == len(definition.metadata)
        assert int(infos) == len(definition.files)


def test_t1_the_oneof_comes_last() -> None:
    """Inputs (1), platform (10), constraints (11), and only then what the op does (2): not the order of numbers."""
    op = busy().run(["a"]).marshal(platform="linux/amd64").ops[1]
    assert op.startswith(b"\nI\nGsha256:")
    order = [op.index(b"\x52\x0e\n\x05amd64"), op.index(b"Z\x00"), op.index(b"\x12\x0f\n")]
    assert order == sorted(order)


def test_t2_map_keys_are_sorted_by_bytes_and_always_written() -> None:
    """``local.metadatatransfer`` is a prefix of another key, and comes before it; empty values are written."""
    state = llb.local(name="x", session="s", metadata_only=["a"])
    op = state.marshal().ops[0]
    assert op.index(b"\n\x16local.metadatatransfer\x12") < op.index(
        b"\n\x1dlocal.metadatatransferexclude\x12"
    )
    named = busy().run(["a"], description={"ab": "", "a": "1", "é": "", "abc": "2", "b": "3"})
    definition = named.marshal(platform="linux/amd64")
    data = definition.to_bytes()
    keys = [
        data.index(b"\n" + bytes([len(k.encode())]) + k.encode() + b"\x12")
        for k in ("a", "ab", "abc", "b", "é")
    ]
    assert keys == sorted(keys)
    assert b"\n\x02ab\x12\x00" in data


def test_t3_digests_are_those_the_daemon_computes() -> None:
    """The daemon encodes every op anew and hashes that: the bytes must already be its own, inputs included."""
    for definition in everything():
        for op, digest in zip(definition.ops, definition.digests, strict=True):
            assert digest == "sha256:" + hashlib.sha256(op).hexdigest()
            assert all(given in definition.digests for given, _ in inputs_of(op))
        for digest in definition.digests[:-1]:
            assert digest in definition.metadata


def test_t17_json_in_attributes_is_go_s() -> None:
    """``<``, ``>``, ``&`` and the line separators are escaped, other characters are not."""
    patterns = ["<a>&b", "\u2028\u2029", "é\U0001f600", "\t\n\r\b\f\x01\x7f", 'q"\\']
    op = llb.local(name="x", session="s", include=patterns).marshal().ops[0]
    expected = (
        '["\\u003ca\\u003e\\u0026b","\\u2028\\u2029","é\U0001f600","\\t\\n\\r\\b\\f\\u0001\x7f","q\\"\\\\"]'
    )
    assert expected.encode() in op

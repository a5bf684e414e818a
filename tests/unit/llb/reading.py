"""Reading graphs in tests: the decoded op that yields a state, and what is said of it."""

from __future__ import annotations

from typing import Any

from pybuildkit.llb import Definition, OpMetadata, State
from pybuildkit.llb.schema import decode_op


def marshal(state: State, **options: Any) -> Definition:
    """The definition for a fixed platform, without Python lines."""
    return state.marshal(**{"platform": "linux/amd64", "unique_id": "uid0", "source_map": False, **options})


def ops(state: State, **options: Any) -> list[dict[str, Any]]:
    """All decoded ops."""
    return [decode_op(op) for op in marshal(state, **options).ops]


def op(state: State, **options: Any) -> dict[str, Any]:
    """The decoded op that yields the state."""
    return ops(state, **options)[-2]


def what(state: State, **options: Any) -> Any:
    """What that op does, by its kind's fields."""
    (only,) = op(state, **options)["Op"].values()
    return only


def metadata(state: State, **options: Any) -> OpMetadata:
    """What is said of that op."""
    made = marshal(state, **options)
    return made.metadata[made.head]


def caps(state: State, **options: Any) -> set[str]:
    """The capabilities that op needs."""
    return set(metadata(state, **options).caps)

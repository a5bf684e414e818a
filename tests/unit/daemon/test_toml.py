"""Writing TOML, read back by the standard library."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit.daemon.toml import Value, dumps
from pybuildkit.errors import ConfigError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3)
)


@given(st.dictionaries(TEXT, VALUES, max_size=4))
def test_what_is_written_is_read(table: dict[str, Value]) -> None:
    assert tomllib.loads(dumps(table)) == table


def test_how_it_looks() -> None:
    table: dict[str, Value] = {
        "registry": {"docker.io": {"mirrors": ["localhost:5000"]}, "localhost:5000": {"http": True}},
        "root": "/r",
        "worker": {"oci": {"gcpolicy": [{"all": True, "keepDuration": 3600}], "max-parallelism": 4}},
        "dns": {},
    }
    assert dumps(table) == (
        'root = "/r"\n'
        '[registry."docker.io"]\nmirrors = ["localhost:5000"]\n'
        '[registry."localhost:5000"]\nhttp = true\n'
        "[worker.oci]\ngcpolicy = [{all = true, keepDuration = 3600}]\nmax-parallelism = 4\n"
        "[dns]\n"
    )


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"a": {"b": None}}, "a.b is of type NoneType"),
        ({"a": [{"b": b"x"}]}, "a.b is of type bytes"),
        ({1: "x"}, "key 1; keys are text"),
    ],
)
def test_what_can_not_be_written(table: dict[str, Value], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        dumps(table)

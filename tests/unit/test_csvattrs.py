"""CSV options: errors name what is wrong and never quote what is confidential."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pybuildkit import csvattrs
from pybuildkit.errors import ConfigError

FIELD = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=8)


@given(st.lists(FIELD, min_size=1, max_size=6).filter(lambda fields: fields != [""]))
def test_what_join_writes_split_and_the_standard_library_read(fields: list[str]) -> None:
    line = csvattrs.join(fields)
    assert csvattrs.split(line) == fields
    assert next(csv.reader(io.StringIO(line))) == fields


@pytest.mark.parametrize("fields", [[], [""]])
def test_what_csv_can_not_say_is_refused(fields: list[str]) -> None:
    with pytest.raises(ConfigError, match="empty"):
        csvattrs.join(fields)


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("", 0, "empty"),
        ('a,b"c', 4, "middle of a field at column 4"),
        ('a,"b', 4, "does not end"),
        ('"a"b', 3, "behind the closing quote"),
    ],
)
def test_errors_say_where(text: str, column: int, says: str) -> None:
    with pytest.raises(csvattrs.CSVError, match=says) as caught:
        csvattrs.split(text)
    assert caught.value.column == column


def test_pairs_lower_the_keys_and_keep_the_values() -> None:
    """B17."""
    assert csvattrs.pairs("TYPE=Local,Dest=A=b", what="output") == [("type", "Local"), ("dest", "A=b")]


def test_confidential_text_is_not_quoted() -> None:
    """T20's keys must not leak through an error text either."""
    for text in ("secret_access_key=hunter2,oops", 'secret_access_key=hunter2"'):
        with pytest.raises(ConfigError) as caught:
            csvattrs.pairs(text, what="cache", confidential=True)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="the field 'oops' is not key=value"):
        csvattrs.pairs("a=b,oops", what="output")


@pytest.mark.parametrize("value", ["1", "t", "T", "TRUE", "true", "True"])
def test_true_as_go_has_it(value: str) -> None:
    assert csvattrs.parse_bool(value, what="x") is True


@pytest.mark.parametrize("value", ["0", "f", "F", "FALSE", "false", "False"])
def test_false_as_go_has_it(value: str) -> None:
    assert csvattrs.parse_bool(value, what="x") is False


@pytest.mark.parametrize("value", ["", "yes", "tRUE", "on", " true"])
def test_anything_else_is_no_boolean(value: str) -> None:
    with pytest.raises(ConfigError, match="write true or false"):
        csvattrs.parse_bool(value, what="x")

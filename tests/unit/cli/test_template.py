"""What is said of templates that can not be used; what they make is compared with Go in ``test_go_tables``."""

from __future__ import annotations

import pytest

from pybuildkit.cli.gotime import Duration, Time
from pybuildkit.cli.template import parse_format
from pybuildkit.cli.template.values import NIL_LIST, Field, Nil, Struct, go_json, go_print
from pybuildkit.errors import ConfigError

VALUE = Struct(
    "x.T",
    [
        Field("ID", "abc", "id"),
        Field("Size", 5, "size"),
        Field("Parents", NIL_LIST, "parents"),
        Field("Used", Nil(), "used"),
        Field("Skipped", 0, "skipped", omitempty=True),
        Field("Ratio", 0.25, "ratio"),
        Field("Data", b"\x00\xff", "data"),
        Field("At", Time(0), "at"),
        Field("Took", Duration(1_500_000_000), "took"),
    ],
    pointer=True,
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{{.Nope}}", "no field .Nope; there are ID, Size, Parents"),
        ("{{.ID.Nope}}", "no field .Nope in a string"),
        ("{{.Used.Nope}}", "no .Nope where there is nothing"),
        ("{{nope .}}", "the function 'nope' is not known; there are and, eq"),
        ("{{ne 1}}", "another number of values"),
        ("{{len .Size}}", "a int has no length"),
        ("{{range .ID}}{{end}}", "can not go over a string"),
        ("{{eq .ID 1}}", "can not be compared"),
        ("{{index .ID 7}}", "no index below 3"),
        ("{{.ID 1}}", ".ID takes no arguments"),
        ("{{$x}}", "the variable $x is not declared"),
        ("{{", "an action is not closed"),
        ("{{if .ID}}", "an {{end}} is missing"),
        ("{{end}}", "{{end}} is out of place"),
        ("{{break}}", "{{break}} is out of place"),
        ("{{}}", "a value is missing"),
        ("{{#}}", "'#' can not be read"),
        ("{{)}}", "')' is out of place"),
        ('{{"\\q"}}', "can not be read"),
        ('{{define "x"}}{{end}}', "{{define}} is not supported"),
        ('{{template "x"}}', "{{template}} is not supported"),
        ("{{printf 1}}", "printf"),
        ('{{printf "%d"}}', "wants more values"),
        ('{{printf "x" 1}}', "takes 0 values"),
    ],
)
def test_what_can_not_work_names_the_template_and_the_reason(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as failure:
        parse_format(text).render(VALUE)
    message = str(failure.value)
    assert f"--format {text!r}" in message
    assert says in message
    assert "{{json .}}" in message


def test_values_in_print_and_in_json() -> None:
    assert go_print(VALUE) == "{abc 5 [] <nil> 0 0.25 [0 255] 1970-01-01 00:00:00 +0000 UTC 1.5s}"
    assert go_json(VALUE) == (
        '{"id":"abc","size":5,"parents":null,"used":null,"ratio":0.25,"data":"AP8=",'
        '"at":"1970-01-01T00:00:00Z","took":1500000000}'
    )
    assert parse_format("{{print .}}").render(VALUE).startswith("&{abc")
    assert parse_format("json").render(VALUE) == go_json(VALUE)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1.0, "1"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e-7, "1.5e-07"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (float("nan"), "NaN"),
        (float("inf"), "+Inf"),
        (-float("inf"), "-Inf"),
    ],
)
def test_floats(value: float, shown: str) -> None:
    assert go_print(value) == shown

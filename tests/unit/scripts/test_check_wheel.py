from __future__ import annotations

import pytest

from scripts.check_wheel import WheelError, committed, look

PACKAGE = {"pybuildkit/__init__.py", "pybuildkit/py.typed", "pybuildkit/_pb/ops_pb2.pyi"}
INFO = {"pybuildkit-1.dist-info/METADATA"}


def test_the_package_alone_is_right() -> None:
    look(PACKAGE | INFO, PACKAGE)


@pytest.mark.parametrize(
    ("names", "expected", "error"),
    [
        (INFO | PACKAGE - {"pybuildkit/__init__.py"}, PACKAGE, r"missing: pybuildkit/__init__\.py"),
        (INFO | PACKAGE | {"protos/ops.proto"}, PACKAGE, r"do not belong there: protos/ops\.proto"),
        (INFO | PACKAGE - {"pybuildkit/py.typed"}, set(), "not typed"),
        (INFO | PACKAGE - {"pybuildkit/_pb/ops_pb2.pyi"}, set(), "not typed"),
    ],
)
def test_what_is_missing_or_foreign_is_named(names: set[str], expected: set[str], error: str) -> None:
    with pytest.raises(WheelError, match=error):
        look(names, expected)


def test_the_stubs_types_are_among_what_is_expected() -> None:
    assert "pybuildkit/_pb/control_pb2.pyi" in committed()

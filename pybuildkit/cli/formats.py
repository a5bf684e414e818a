"""What the commands that list things share: ``--format``, columns, sizes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pybuildkit.cli.template import Template

__all__ = ["add_format", "fixed_size", "print_aligned", "shortest_size", "template_of", "write"]

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def add_format(parser: argparse.ArgumentParser, example: str) -> None:
    """The ``--format`` flag; the example is a template that fits."""
    parser.add_argument(
        "--format",
        metavar="TEMPLATE",
        default="",
        help=f"json, or a Go template as {example.replace('%', '%%')}",
    )


def template_of(args: argparse.Namespace) -> Template | None:
    """The template that ``--format`` gives, None without one.

    Raises:
        ConfigError: it is none.
    """
    if not args.format:
        return None
    from pybuildkit.cli.template import parse_format

    return parse_format(args.format)


def write(template: Template, value: Any) -> None:
    """Print what a template makes of a value, as a line."""
    print(template.render(value), flush=True)


def print_aligned(lines: Iterable[str], *, pad: str = "\t") -> None:
    """Print lines with cells that end in tabs as columns."""
    from pybuildkit.cli.tabwriter import aligned

    if pad == "\t":
        sys.stdout.write(aligned(lines))
    else:
        sys.stdout.write(aligned(lines, min_width=0, tab_width=0, pad=pad))
    sys.stdout.flush()


def fixed_size(value: int) -> str:
    """A number of bytes with two decimals, as ``4.20MB``."""
    amount, unit = _scaled(value)
    return f"{amount:.2f}{unit}" if unit != "B" else f"{value}B"


def shortest_size(value: int) -> str:
    """A number of bytes with as many digits as it needs, as ``4.2MB``."""
    amount, unit = _scaled(value)
    return f"{repr(amount).removesuffix('.0')}{unit}" if unit != "B" else f"{value}B"


def _scaled(value: int) -> tuple[float, str]:
    unit = 0
    while abs(value) >= 1000 ** (unit + 1) and unit < len(_UNITS) - 1:
        unit += 1
    # As Go divides: both are floats before.
    return float(value) / float(1000**unit), _UNITS[unit]

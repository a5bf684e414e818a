"""Go's ``text/template``, as ``--format`` wants it (B47): what people write for docker's and BuildKit's tools."""

from __future__ import annotations

from pybuildkit.cli.template.execute import Template

__all__ = ["Template", "parse_format"]

_ALIASES = {"json": "{{json .}}"}


def parse_format(text: str) -> Template:
    """A ``--format`` argument: a template, or ``json`` for ``{{json .}}``.

    Raises:
        ConfigError: it is no template, or uses what is not supported.
    """
    return Template(_ALIASES.get(text, text))

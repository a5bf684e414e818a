"""``pybuildkit history inspect``: all that is known of a build, and its blobs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import aclosing
from typing import TYPE_CHECKING

from pybuildkit.cli.formats import add_format, print_aligned, template_of, write
from pybuildkit.cli.gotime import local_rfc3339
from pybuildkit.cli.history.ls import build_name
from pybuildkit.cli.history.refs import add_ref, chosen
from pybuildkit.errors import ConfigError

if TYPE_CHECKING:
    from pybuildkit.history import Attachment, HistoryError, HistoryRecord

DESCRIPTION = "Show all that is known of a build, or print one of the blobs that belong to it."
EXAMPLES = """examples:
  pybuildkit history inspect
  pybuildkit history inspect ivzbr3ah --attachment https://slsa.dev/provenance/v1
  pybuildkit history inspect ivzbr3ah --attachment logs > logs.bin
  pybuildkit history inspect --format '{{json .FrontendAttrs}}'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_ref(parser)
    parser.add_argument(
        "--attachment",
        metavar="WHICH",
        help="print this blob: its type, kind (result, attestation, logs, trace, error) or digest",
    )
    parser.add_argument(
        "--platform", metavar="PLATFORM", help="of the attachment, for builds of several platforms"
    )
    add_format(parser, "{{json .FrontendAttrs}}")


async def run(args: argparse.Namespace) -> int:
    """Print the record or the blob."""
    from pybuildkit.cli.run import connect

    template = template_of(args)
    async with connect(args) as client:
        record = await chosen(client, args.ref)
        if args.attachment:
            digest = _pick(record, args.attachment, args.platform).descriptor.digest
            async with aclosing(client.content.stream(digest)) as pieces:
                async for piece in pieces:
                    sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return 0
        error = await client.history.error(record.ref) if record.external_error is not None else record.error
    if template is not None:
        from pybuildkit.cli.goviews import record_view

        write(template, record_view(record))
        return 0
    print_aligned(_lines(record), pad=" ")
    if record.attachments:
        print("\nAttachments:")
        print_aligned(["KIND\tPLATFORM\tTYPE\tSIZE\tDIGEST", *map(_row, record.attachments)])
    if error is not None:
        _print_error(error)
    return 0


def _pick(record: HistoryRecord, which: str, platform: str | None) -> Attachment:
    found = [
        a
        for a in record.attachments
        if which in (a.type, a.kind, a.descriptor.digest) and platform in (None, a.platform)
    ]
    if len({a.descriptor.digest for a in found}) == 1:
        return found[0]
    known = ", ".join(dict.fromkeys(f"{a.type} {a.platform}".strip() for a in record.attachments)) or "none"
    if found:
        raise ConfigError(
            f"build {record.ref} has {len(found)} attachments {which!r}; name the --platform or digest"
        )
    raise ConfigError(f"build {record.ref} has no attachment {which!r}; there are {known}")


def _lines(record: HistoryRecord) -> Iterator[str]:
    yield f"Ref:\t{record.ref}"
    yield f"Name:\t{build_name(record)}"
    yield f"Status:\t{record.status}"
    yield f"Created:\t{local_rfc3339(record.created_ns)}"
    if record.completed_ns is not None:
        yield f"Completed:\t{local_rfc3339(record.completed_ns)}"
    yield f"Duration:\t{record.duration:.1f}s"
    yield f"Steps:\t{record.completed_steps} of {record.total_steps}, {record.cached_steps} cached"
    if record.warnings:
        yield f"Warnings:\t{record.warnings}"
    if record.pinned:
        yield "Pinned:\tyes"
    for key in sorted(record.frontend_attrs):
        yield f"Option:\t{key}={record.frontend_attrs[key]}"
    for exporter in record.exporters:
        attrs = ",".join(f"{key}={exporter.attrs[key]}" for key in sorted(exporter.attrs))
        yield f"Output:\ttype={exporter.type}" + (f",{attrs}" if attrs else "")
    for key in sorted(record.metadata):
        value = record.metadata[key]
        yield f"Metadata:\t{key}={value if len(value) <= 100 and value.isprintable() else f'({len(value)} bytes)'}"


def _row(attachment: Attachment) -> str:
    descriptor = attachment.descriptor
    return "\t".join(
        (attachment.kind, attachment.platform, attachment.type, str(descriptor.size), descriptor.digest)
    )


def _print_error(error: HistoryError) -> None:
    from pybuildkit.details import SourceError

    print(f"\nError: {error.message}")
    for detail in error.details:
        if isinstance(detail, SourceError) and detail.render():
            print(detail.render())

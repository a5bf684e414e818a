"""Build history: what the daemon remembers of builds, those that run included (C13, C34 to C37)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

from pybuildkit._time import moment
from pybuildkit._values import dataclass, field
from pybuildkit.content.descriptor import Descriptor
from pybuildkit.details import Detail

__all__ = [
    "Attachment",
    "AttachmentKind",
    "BuildStatus",
    "Exporter",
    "HistoryError",
    "HistoryEvent",
    "HistoryRecord",
    "ResultInfo",
]

BuildStatus: TypeAlias = Literal["running", "completed", "error", "canceled"]
"""How a build is, in the words of the daemon's filters (C36)."""

AttachmentKind: TypeAlias = Literal["result", "attestation", "logs", "trace", "error"]

PREDICATE = "in-toto.io/predicate-type"


@dataclass(frozen=True, slots=True)
class Exporter:
    """An output of the build, as the daemon was told."""

    type: str
    attrs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HistoryError:
    """Why a build failed.

    Attributes:
        code: the gRPC status code's name.
        message: the daemon's text.
        details: typed details; the record itself has few of them, ``client.history.error()`` reads all.
    """

    code: str
    message: str
    details: tuple[Detail, ...] = ()


@dataclass(frozen=True, slots=True)
class ResultInfo:
    """What a build made.

    Attributes:
        results: the descriptor of what each exporter made, by the exporter's place in the request.
        attestations: provenance and the like.
    """

    results: Mapping[int, Descriptor] = field(default_factory=dict)
    attestations: tuple[Descriptor, ...] = ()


@dataclass(frozen=True, slots=True)
class Attachment:
    """A blob that belongs to a record; ``client.content`` reads it by its digest.

    Attributes:
        kind: what it is.
        descriptor: its digest, size and media type.
        platform: whose attestation it is, as ``linux/arm64``; empty for a build of one platform.
        exporter: which output made it, by its place in the request; None for what no output made.
    """

    kind: AttachmentKind
    descriptor: Descriptor
    platform: str = ""
    exporter: int | None = None

    @property
    def type(self) -> str:
        """What it says, more closely than ``kind``: an attestation's predicate, else the media type."""
        return self.descriptor.annotations.get(PREDICATE) or self.descriptor.media_type


@dataclass(frozen=True, slots=True)
class HistoryRecord:
    """One build in the daemon's history (C34).

    Attributes:
        ref: the build's id.
        frontend: the frontend's name, empty for a graph or for a client that drives the build itself.
        frontend_attrs: what it was told.
        exporters: the outputs.
        error: why it failed, None when it did not.
        created_ns: when it began, in nanoseconds since the epoch; ``created_at`` is the same as a time.
        completed_ns: when it ended, None while it runs.
        metadata: what the frontend said of the result; what exporters said is not kept.
        result: what a build of one platform made, and what all outputs made.
        results: attestations of a build of several platforms, by platform.
        generation: grows with every change of the record.
        pinned: the daemon does not forget it.
        cached_steps: steps that came from the cache.
        completed_steps: steps that ran or came from the cache.
        total_steps: all steps.
        warnings: how many warnings there were.
        logs: the blob with the build's progress.
        trace: the blob with its trace; it comes some three seconds after the end (C37).
        external_error: the blob with the error and all its details.
    """

    ref: str
    frontend: str = ""
    frontend_attrs: Mapping[str, str] = field(default_factory=dict)
    exporters: tuple[Exporter, ...] = ()
    error: HistoryError | None = None
    created_ns: int = 0
    completed_ns: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    result: ResultInfo | None = None
    results: Mapping[str, ResultInfo] = field(default_factory=dict)
    generation: int = 0
    pinned: bool = False
    cached_steps: int = 0
    completed_steps: int = 0
    total_steps: int = 0
    warnings: int = 0
    logs: Descriptor | None = None
    trace: Descriptor | None = None
    external_error: Descriptor | None = None

    @property
    def status(self) -> BuildStatus:
        """How it is, or how it ended."""
        if self.completed_ns is None:
            return "running"
        if self.error is None:
            return "completed"
        return "canceled" if "context canceled" in self.error.message else "error"

    @property
    def created_at(self) -> datetime | None:
        """When it began, in UTC."""
        return moment(self.created_ns)

    @property
    def completed_at(self) -> datetime | None:
        """When it ended, in UTC; None while it runs."""
        return moment(self.completed_ns)

    @property
    def duration(self) -> float:
        """Seconds from beginning to end, or until now by this machine's clock."""
        end = time.time_ns() if self.completed_ns is None else self.completed_ns
        return max(0.0, (end - self.created_ns) / 1e9)

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """All blobs that belong to the record."""
        found: list[Attachment] = []
        for platform, info in [("", self.result), *sorted(self.results.items())]:
            if info is not None:
                found += [
                    Attachment("result", descriptor, platform, number)
                    for number, descriptor in sorted(info.results.items())
                ]
                found += [Attachment("attestation", item, platform) for item in info.attestations]
        named: tuple[tuple[AttachmentKind, Descriptor | None], ...] = (
            ("logs", self.logs),
            ("trace", self.trace),
            ("error", self.external_error),
        )
        return (*found, *(Attachment(kind, item) for kind, item in named if item is not None))


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """A change in the history.

    Attributes:
        type: ``started``; ``complete``, which also comes when a record changes later; ``deleted``, with nothing but
            the ref in the record.
        record: the record as it is now.
    """

    type: Literal["started", "complete", "deleted"]
    record: HistoryRecord

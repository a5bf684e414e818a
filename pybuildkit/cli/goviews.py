"""Our values as the Go structs that ``--format`` templates of buildctl name: same fields, same JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pybuildkit.cli.gotime import Duration, Time
from pybuildkit.cli.template.values import NIL_LIST, NIL_MAP, Field, Nil, Struct

if TYPE_CHECKING:
    from pybuildkit.content.descriptor import Descriptor
    from pybuildkit.history import HistoryError, HistoryEvent, HistoryRecord, ResultInfo
    from pybuildkit.platforms import Platform
    from pybuildkit.usage import UsageRecord
    from pybuildkit.workers import GCPolicy, Info, Worker

__all__ = [
    "event_view",
    "info_view",
    "message_text",
    "record_view",
    "usage_list_view",
    "usage_view",
    "workers_view",
]

_EVENT_NUMBERS = {"started": 0, "complete": 1, "deleted": 2}


class _Enum(int):
    """An enumeration: a number in JSON, a name in print."""

    name: str

    def __str__(self) -> str:
        return self.name


def _enum(number: int, name: str) -> _Enum:
    made = _Enum(number)
    made.name = name
    return made


def _list(values: Any) -> list[Any]:
    found = list(values)
    return found or NIL_LIST


def _map(values: Mapping[Any, Any]) -> dict[Any, Any]:
    return dict(values) or NIL_MAP


def usage_view(record: UsageRecord, *, pointer: bool = False) -> Struct:
    """``client.UsageInfo``."""
    last = Nil() if record.last_used_ns is None else Time(record.last_used_ns)
    return Struct(
        "client.UsageInfo",
        [
            Field("ID", record.id, "id"),
            Field("Mutable", record.mutable, "mutable"),
            Field("InUse", record.in_use, "inUse"),
            Field("Size", record.size, "size"),
            Field("CreatedAt", Time(record.created_ns), "createdAt"),
            Field("LastUsedAt", last, "lastUsedAt"),
            Field("UsageCount", record.usage_count, "usageCount"),
            Field("Parents", _list(record.parents), "parents"),
            Field("Description", record.description, "description"),
            Field("RecordType", record.record_type, "recordType"),
            Field("Shared", record.shared, "shared"),
        ],
        pointer=pointer,
    )


def usage_list_view(records: tuple[UsageRecord, ...]) -> list[Any]:
    """``[]*client.UsageInfo``."""
    return _list(usage_view(record, pointer=True) for record in records)


def info_view(info: Info) -> Struct:
    """``client.Info``."""
    return Struct("client.Info", [Field("BuildkitVersion", _version(info), "buildkitVersion")], pointer=True)


def _version(info: Info | None) -> Struct:
    texts = (info.package, info.version, info.revision, info.dockerfile_version) if info else ("", "", "", "")
    return Struct(
        "client.BuildkitVersion",
        [
            Field("Package", texts[0], "package"),
            Field("Version", texts[1], "version"),
            Field("Revision", texts[2], "revision"),
            Field("DockerfileVersion", texts[3], "dockerfileVersion", omitempty=True),
        ],
    )


def workers_view(workers: tuple[Worker, ...]) -> list[Any]:
    """``[]*client.WorkerInfo``."""
    return _list(_worker(worker) for worker in workers)


def _worker(worker: Worker) -> Struct:
    devices = (
        Struct(
            "client.CDIDevice",
            [
                Field("Name", device.name, "name"),
                Field("AutoAllow", device.auto_allow, "autoAllow"),
                Field("Annotations", _map(device.annotations), "annotations"),
                Field("OnDemand", device.on_demand, "onDemand"),
            ],
        )
        for device in worker.devices
    )
    return Struct(
        "client.WorkerInfo",
        [
            Field("ID", worker.id, "id"),
            Field("Labels", _map(worker.labels), "labels"),
            Field("Platforms", [_platform(platform) for platform in worker.platforms], "platforms"),
            Field("GCPolicy", [_policy(policy) for policy in worker.gc_policy], "gcPolicy"),
            Field("BuildkitVersion", _version(worker.info), "buildkitVersion"),
            Field("CDIDevices", _list(devices), "cdiDevices"),
        ],
        pointer=True,
    )


def _platform(platform: Platform) -> Struct:
    return Struct(
        "v1.Platform",
        [
            Field("Architecture", platform.architecture, "architecture"),
            Field("OS", platform.os, "os"),
            Field("OSVersion", platform.os_version, "os.version", omitempty=True),
            Field("OSFeatures", _list(platform.os_features), "os.features", omitempty=True),
            Field("Variant", platform.variant, "variant", omitempty=True),
        ],
    )


def _policy(policy: GCPolicy) -> Struct:
    return Struct(
        "client.PruneInfo",
        [
            Field("All", policy.all, "all"),
            Field("Filter", _list(policy.filters), "filter"),
            Field("KeepDuration", Duration(round(policy.keep_duration * 1e9)), "keepDuration"),
            Field("ReservedSpace", policy.reserved_space, "reservedSpace"),
            Field("MaxUsedSpace", policy.max_used_space, "maxUsedSpace"),
            Field("MinFreeSpace", policy.min_free_space, "minFreeSpace"),
        ],
    )


def event_view(event: HistoryEvent) -> Struct:
    """``control.BuildHistoryEvent``."""
    kind = _enum(_EVENT_NUMBERS[event.type], event.type.upper())
    return _message(
        "control.BuildHistoryEvent", [("Type", kind, "type"), ("Record", record_view(event.record), "record")]
    )


def record_view(record: HistoryRecord) -> Struct:
    """``control.BuildHistoryRecord``."""
    exporters = (
        Struct(
            "control.Exporter",
            [
                Field("Type", exporter.type, "Type", omitempty=True),
                Field("Attrs", _map(exporter.attrs), "Attrs", omitempty=True),
            ],
            pointer=True,
        )
        for exporter in record.exporters
    )
    results = {name: _result(info) for name, info in record.results.items()}
    fields: list[tuple[str, Any, str]] = [
        ("Ref", record.ref, "Ref"),
        ("Frontend", record.frontend, "Frontend"),
        ("FrontendAttrs", _map(record.frontend_attrs), "FrontendAttrs"),
        ("Exporters", _list(exporters), "Exporters"),
        ("Error", _error(record.error), "error"),
        ("CreatedAt", _timestamp(record.created_ns or None), "CreatedAt"),
        ("CompletedAt", _timestamp(record.completed_ns), "CompletedAt"),
        ("Logs", _descriptor(record.logs), "logs"),
        ("ExporterResponse", _map(record.metadata), "ExporterResponse"),
        ("Result", _result(record.result), "Result"),
        ("Results", _map(results), "Results"),
        ("Generation", record.generation, "Generation"),
        ("Trace", _descriptor(record.trace), "trace"),
        ("Pinned", record.pinned, "pinned"),
        ("NumCachedSteps", record.cached_steps, "numCachedSteps"),
        ("NumTotalSteps", record.total_steps, "numTotalSteps"),
        ("NumCompletedSteps", record.completed_steps, "numCompletedSteps"),
        ("ExternalError", _descriptor(record.external_error), "externalError"),
        ("NumWarnings", record.warnings, "numWarnings"),
    ]
    return _message("control.BuildHistoryRecord", fields)


def _message(name: str, fields: list[tuple[str, Any, str]]) -> Struct:
    """A protobuf message: every field is left out of JSON when it is empty."""
    made = Struct(name, [Field(*item, omitempty=True) for item in fields], pointer=True)
    made.text = lambda: message_text(made)
    return made


def _error(error: HistoryError | None) -> Struct | Nil:
    from pybuildkit.rpc.failures import CODES

    if error is None:
        return Nil()
    code = CODES.index(error.code)
    return _message("status.Status", [("Code", code, "code"), ("Message", error.message, "message")])


def _timestamp(ns: int | None) -> Struct | Nil:
    if ns is None:
        return Nil()
    seconds, nanos = divmod(ns, 1_000_000_000)
    return _message("timestamppb.Timestamp", [("Seconds", seconds, "seconds"), ("Nanos", nanos, "nanos")])


def _descriptor(descriptor: Descriptor | None) -> Struct | Nil:
    if descriptor is None:
        return Nil()
    return _message(
        "control.Descriptor",
        [
            ("MediaType", descriptor.media_type, "media_type"),
            ("Digest", descriptor.digest, "digest"),
            ("Size", descriptor.size, "size"),
            ("Annotations", _map(descriptor.annotations), "annotations"),
        ],
    )


def descriptor_text(descriptor: Descriptor) -> str:
    """``control.Descriptor`` in protobuf's text form."""
    made = _descriptor(descriptor)
    assert isinstance(made, Struct)
    return message_text(made)


def _result(info: ResultInfo | None) -> Struct | Nil:
    if info is None:
        return Nil()
    first = info.results[min(info.results)] if info.results else None
    return _message(
        "control.BuildResultInfo",
        [
            # The daemon repeats the first one there, for clients of its older versions.
            ("ResultDeprecated", _descriptor(first), "ResultDeprecated"),
            ("Attestations", _list(map(_descriptor, info.attestations)), "Attestations"),
            ("Results", _map({n: _descriptor(d) for n, d in info.results.items()}), "Results"),
        ],
    )


def message_text(message: Struct) -> str:
    """A message in protobuf's text form, on one line."""
    parts: list[str] = []
    for field in message.fields.values():
        value = field.value
        if isinstance(value, Nil) or (not isinstance(value, Struct) and not value):
            continue
        if isinstance(value, Mapping):
            parts += [f"{field.key}:{{key:{_text(key)} value{_joined(value[key])}}}" for key in sorted(value)]
        elif isinstance(value, list):
            parts += [f"{field.key}{_joined(item)}" for item in value]
        else:
            parts.append(f"{field.key}{_joined(value)}")
    return " ".join(parts)


def _joined(value: Any) -> str:
    if isinstance(value, Struct):
        return f":{{{message_text(value)}}}"
    return f":{_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'"{escaped}"'
    return str(value).lower() if isinstance(value, bool) else str(value)

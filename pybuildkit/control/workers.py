"""``InfoResponse`` and ``ListWorkersResponse`` (C11, C12)."""

from __future__ import annotations

from collections.abc import Iterable

from pybuildkit import _wire as wire
from pybuildkit._wire import field_bytes, fields, signed
from pybuildkit.control.solve import string_map
from pybuildkit.platforms import Platform
from pybuildkit.workers import Device, GCPolicy, Info, Worker

__all__ = ["LIST_WORKERS", "decode_info", "decode_workers", "encode_workers_request"]

LIST_WORKERS = "/moby.buildkit.v1.Control/ListWorkers"


def decode_info(data: bytes) -> Info:
    """``InfoResponse``."""
    return _version(wire.first(data, 1))


def encode_workers_request(filters: Iterable[str]) -> bytes:
    """``ListWorkersRequest``; filters are containerd's, several of them are alternatives."""
    return b"".join(field_bytes(1, text.encode()) for text in filters)


def decode_workers(data: bytes) -> tuple[Worker, ...]:
    """``ListWorkersResponse``."""
    return tuple(_worker(v) for n, v in fields(data) if n == 1 and isinstance(v, bytes))


def _version(data: bytes) -> Info:
    return Info(*(wire.first(data, number).decode() for number in (1, 2, 3, 4)))


def _worker(data: bytes) -> Worker:
    groups: dict[int, list[bytes]] = {3: [], 4: [], 6: []}
    for number, value in fields(data):
        if number in groups and isinstance(value, bytes):
            groups[number].append(value)
    version = wire.first(data, 5)
    return Worker(
        id=wire.first(data, 1).decode(),
        labels=string_map(data, 2),
        platforms=tuple(decode_platform(value) for value in groups[3]),
        gc_policy=tuple(_gc_policy(value) for value in groups[4]),
        info=_version(version) if version else None,
        devices=tuple(_device(value) for value in groups[6]),
    )


def decode_platform(data: bytes) -> Platform:
    """``pb.Platform``."""
    return Platform(
        architecture=wire.first(data, 1).decode(),
        os=wire.first(data, 2).decode(),
        variant=wire.first(data, 3).decode(),
        os_version=wire.first(data, 4).decode(),
        os_features=tuple(wire.strings(data, 5)),
    )


def _gc_policy(data: bytes) -> GCPolicy:
    numbers = {n: signed(v) for n, v in fields(data) if isinstance(v, int)}
    return GCPolicy(
        all=bool(numbers.get(1)),
        keep_duration=numbers.get(2, 0) / 1e9,
        filters=tuple(wire.strings(data, 4)),
        reserved_space=numbers.get(3, 0),
        max_used_space=numbers.get(5, 0),
        min_free_space=numbers.get(6, 0),
    )


def _device(data: bytes) -> Device:
    numbers = {n: v for n, v in fields(data) if isinstance(v, int)}
    return Device(
        name=wire.first(data, 1).decode(),
        auto_allow=bool(numbers.get(2)),
        annotations=string_map(data, 3),
        on_demand=bool(numbers.get(4)),
    )

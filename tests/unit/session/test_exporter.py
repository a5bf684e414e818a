"""The exporter service, called as the daemon calls it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pybuildkit import _wire
from pybuildkit._pb import exporter_pb2
from pybuildkit.control.solve import ExporterEntry
from pybuildkit.errors import ConfigError
from pybuildkit.session.calls import Code, Status
from pybuildkit.session.exporter import FINALIZE_EXPORT, FIND_EXPORTERS, ExporterService
from tests.support.fakedaemon import fake_daemon


async def none(metadata: Mapping[str, bytes], refs: Sequence[str]) -> list[ExporterEntry]:
    return []


async def test_exporters_are_found_when_the_result_is_there() -> None:
    """S90."""
    seen: list[Any] = []

    async def find(metadata: Mapping[str, bytes], refs: Sequence[str]) -> list[ExporterEntry]:
        seen.append((dict(metadata), list(refs)))
        return [ExporterEntry("image", {"name": "x", "push": "true"}), ExporterEntry("local")]

    request = exporter_pb2.FindExportersRequest(metadata={"a": b"\xff", "b": b""}, refs=["one", "two"])
    async with fake_daemon(ExporterService(find)) as daemon:
        answer, status = await daemon.unary(FIND_EXPORTERS, request.SerializeToString())
    assert status == Status()
    found = exporter_pb2.FindExportersResponse.FromString(answer or b"")
    assert [(entry.Type, dict(entry.Attrs)) for entry in found.exporters] == [
        ("image", {"name": "x", "push": "true"}),
        ("local", {}),
    ]
    assert seen == [({"a": b"\xff", "b": b""}, ["one", "two"])]


async def test_the_end_is_told() -> None:
    """S90."""
    seen: list[Any] = []

    async def finalize(response: Mapping[str, str]) -> None:
        seen.append(dict(response))

    request = exporter_pb2.FinalizeExportRequest(exporter_response={"containerimage.digest": "sha256:x"})
    async with fake_daemon(ExporterService(None, finalize)) as daemon:
        assert await daemon.unary(FIND_EXPORTERS) == (b"", Status())
        assert await daemon.unary(FINALIZE_EXPORT, request.SerializeToString()) == (b"", Status())
    assert seen == [{"containerimage.digest": "sha256:x"}]


async def test_nobody_to_tell() -> None:
    """S90: UNIMPLEMENTED is no error to the daemon."""
    async with fake_daemon(ExporterService(none)) as daemon:
        _, status = await daemon.unary(FINALIZE_EXPORT)
    assert status.code == Code.UNIMPLEMENTED


@pytest.mark.parametrize(
    ("error", "text"),
    [(ConfigError("no such output"), "no such output"), (ValueError("hunter2"), "ValueError")],
)
async def test_what_fails_ends_the_build(error: Exception, text: str) -> None:
    async def find(metadata: Mapping[str, bytes], refs: Sequence[str]) -> list[ExporterEntry]:
        raise error

    async def finalize(response: Mapping[str, str]) -> None:
        raise error

    service = ExporterService(find, finalize)
    async with fake_daemon(service) as daemon:
        for method, what in (
            (FIND_EXPORTERS, "the function that chooses outputs"),
            (FINALIZE_EXPORT, "the function for when all is exported"),
        ):
            _, status = await daemon.unary(method)
            assert status == Status(Code.UNKNOWN, f"{what} failed: {text}")
    assert service.failed is error


async def test_rubbish() -> None:
    async def finalize(response: Mapping[str, str]) -> None:
        raise AssertionError

    async with fake_daemon(ExporterService(none, finalize)) as daemon:
        for method in (FIND_EXPORTERS, FINALIZE_EXPORT):
            for request in (b"\xff", _wire.field_bytes(1, b"\xff")):
                _, status = await daemon.unary(method, request)
                assert status.code == Code.INVALID_ARGUMENT

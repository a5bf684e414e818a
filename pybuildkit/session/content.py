"""``containerd.services.content.v1.Content``: gives the daemon the content stores of this machine (S92 to S96).

Which store a call means is in its metadata. Local caches and OCI layouts that are read are never written to.
Answers and refusals are containerd's own, word for word where the daemon looks at them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice

from pybuildkit import _wire
from pybuildkit.content.filters import compile_filters
from pybuildkit.content.ingest import Ingest, IngestStatus
from pybuildkit.content.store import BlobInfo, LocalStore
from pybuildkit.digests import is_digest
from pybuildkit.errors import ContentError
from pybuildkit.session.calls import AsyncHandler, Call, CallMetadata, Chooser, Code, Machine, StatusError
from pybuildkit.session.contentmessages import (
    WriteAction,
    decode_read,
    decode_write,
    encode_blob_info,
    encode_ingest_status,
    encode_piece_head,
    encode_write_response,
)

__all__ = ["CONTENT", "STORE_HEADER", "ContentService"]

CONTENT = "/containerd.services.content.v1.Content"

STORE_HEADER = "buildkit-attachable-store-id"

_PIECE = 256 << 10
"""Bytes of one answer to Read. containerd sends 1 MiB; smaller ones let other calls in between."""

_LIST_BLOCK = 100

_CODES = {
    "not-found": Code.NOT_FOUND,
    "exists": Code.ALREADY_EXISTS,
    "invalid": Code.INVALID_ARGUMENT,
    "mismatch": Code.FAILED_PRECONDITION,
    "range": Code.OUT_OF_RANGE,
    "busy": Code.UNAVAILABLE,
    "read-only": Code.PERMISSION_DENIED,
    "unsupported": Code.FAILED_PRECONDITION,
    "corrupt": Code.DATA_LOSS,
}

Unary = Callable[[LocalStore, bytes], bytes]


class ContentService:
    """Content stores by the id that the daemon knows them by (S93): ``local:<dir>``, ``oci:<name>``, ``export``.

    One that is put into the mapping while the session is open is served, too.
    """

    def __init__(self, stores: Mapping[str, LocalStore]) -> None:
        self._stores = stores

    @property
    def machines(self) -> Mapping[str, Chooser]:
        """See ``Service.machines``."""
        unary: dict[str, Unary] = {
            "Info": _info,
            "Update": _update,
            "Delete": _delete,
            "Status": _status,
            "ListStatuses": _list_statuses,
            "Abort": _abort,
        }
        machines: dict[str, Chooser] = {
            f"{CONTENT}/{name}": partial(self._unary, answer) for name, answer in unary.items()
        }
        machines[f"{CONTENT}/List"] = lambda call: _ListMachine(call, self._store(call.metadata))
        machines[f"{CONTENT}/Read"] = lambda call: _ReadMachine(call, self._store(call.metadata))
        machines[f"{CONTENT}/Write"] = lambda call: _WriteMachine(call, self._store(call.metadata))
        return machines

    @property
    def handlers(self) -> Mapping[str, AsyncHandler]:
        """See ``Service.handlers``."""
        return {}

    def _unary(self, answer: Unary, call: Call) -> Machine:
        return _UnaryMachine(call, self._store(call.metadata), answer)

    def _store(self, metadata: CallMetadata) -> LocalStore:
        values = metadata.get(STORE_HEADER, ())
        if not values:
            raise StatusError(
                Code.INVALID_ARGUMENT, f'request lacks metadata "{STORE_HEADER}": invalid argument'
            )
        store = self._stores.get(values[0])
        if store is None:
            raise StatusError(Code.NOT_FOUND, f"unknown store {values[0]}: not found")
        return store


class _OneRequest:
    """A call with one request, which is worked on when it is whole."""

    def __init__(self, call: Call, store: LocalStore) -> None:
        self._call = call
        self._store = store
        self._request: bytes | None = None

    def message(self, data: bytes) -> None:
        if self._request is not None:
            raise StatusError(Code.INTERNAL, "more than one request")
        self._request = data

    def half_closed(self) -> None:
        if self._request is None:
            raise StatusError(Code.INTERNAL, "no request")
        with _refusals():
            self.answer(self._request)

    def answer(self, request: bytes) -> None:
        raise NotImplementedError

    def pull(self) -> bool:
        return False

    def closed(self) -> None:
        pass


class _UnaryMachine(_OneRequest):
    def __init__(self, call: Call, store: LocalStore, answer: Unary) -> None:
        super().__init__(call, store)
        self._answer = answer

    def answer(self, request: bytes) -> None:
        self._call.send(self._answer(self._store, request))
        self._call.finish()


class _ReadMachine(_OneRequest):
    """A blob, or a part of it, in pieces, as fast as the daemon takes them."""

    _file = -1
    _begin = _position = _end = 0

    def answer(self, request: bytes) -> None:
        digest, offset, size = decode_read(request)
        self._file, length = self._store.open(digest)
        offset = max(0, offset)
        if offset > length:
            raise ContentError(f"read past object length {length} bytes", reason="range")
        self._begin = self._position = offset
        self._end = offset + size if size > 0 and offset + size <= length else length

    def pull(self) -> bool:
        if self._file < 0:
            return False
        while self._position < self._end:
            if self._call.room <= 0:
                return True
            data = os.pread(self._file, min(_PIECE, self._end - self._position), self._position)
            if not data:
                raise StatusError(Code.DATA_LOSS, "the blob was shortened while it was read")
            # As containerd does, the offset counts from where reading began.
            head = encode_piece_head(self._position - self._begin, len(data))
            self._call.send(head, data)
            self._position += len(data)
        self._call.finish()
        return False

    def closed(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class _ListMachine(_OneRequest):
    """Blocks of a hundred blobs."""

    _blobs: Iterator[BlobInfo] | None = None

    def answer(self, request: bytes) -> None:
        matches = compile_filters(_wire.strings(request, 1))
        self._blobs = (found for found in self._store.walk() if matches(partial(_blob_field, found)))

    def pull(self) -> bool:
        while self._blobs is not None:
            if self._call.room <= 0:
                return True
            block = list(islice(self._blobs, _LIST_BLOCK))
            if not block:
                self._call.finish()
                return False
            self._call.send(b"".join(_wire.field_bytes(1, encode_blob_info(found)) for found in block))
        return False

    def closed(self) -> None:
        self._blobs = None


class _WriteMachine:
    """One blob: any number of STAT and WRITE, then COMMIT (S94)."""

    def __init__(self, call: Call, store: LocalStore) -> None:
        self._call = call
        self._store = store
        self._ingest: Ingest | None = None
        self._total = 0
        self._expected = ""

    def message(self, data: bytes) -> None:
        with _refusals():
            self._work(data)

    def half_closed(self) -> None:
        if self._ingest is None:
            raise StatusError(Code.INVALID_ARGUMENT, "first message must have a reference")
        self._call.finish()

    def pull(self) -> bool:
        return False

    def closed(self) -> None:
        if self._ingest is not None:
            self._ingest.close()

    def _work(self, data: bytes) -> None:
        request = decode_write(data)
        ingest = self._ingest
        if ingest is None:
            if not request.ref:
                raise ContentError("first message must have a reference", reason="invalid")
            self._total, self._expected = request.total, request.expected
            ingest = self._ingest = self._store.writer(
                request.ref, size=request.total, expected=request.expected
            )
        self._update_promises(ingest, request.expected, request.total)
        if request.action == WriteAction.STAT:
            self._call.send(
                encode_write_response(
                    request.action,
                    ingest.offset,
                    ingest.digest,
                    started_ns=ingest.started_ns,
                    updated_ns=ingest.updated_ns,
                    total=self._total,
                )
            )
            return
        if request.action not in (WriteAction.WRITE, WriteAction.COMMIT):
            raise ContentError(f"no write action {request.action} is known", reason="invalid")
        if request.offset > 0 and request.offset != ingest.offset:
            raise ContentError(
                f"write @{request.offset} must occur at current offset {ingest.offset}", reason="range"
            )
        if not request.offset and ingest.offset:
            ingest.truncate()
        if request.data:
            ingest.write(request.data)
        if request.action == WriteAction.COMMIT:
            digest = self._store.latest = ingest.commit(self._total, self._expected)
            self._call.send(encode_write_response(request.action, ingest.offset, digest))
            self._call.finish()
        else:
            self._call.send(encode_write_response(request.action, ingest.offset, ingest.digest))

    def _update_promises(self, ingest: Ingest, expected: str, total: int) -> None:
        if total > 0:
            self._total = total
        if not expected:
            return
        self._expected = expected
        try:
            self._store.info(expected)
        except ContentError as exc:
            if exc.reason != "not-found":
                raise
            return
        ingest.close()
        self._store.abort(ingest.ref)
        self._store.latest = expected
        raise ContentError(f"blob with expected digest {expected} exists", reason="exists")


class _refusals:  # noqa: N801 - used as a function
    """Turns what a store refuses into the status that containerd's server gives."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ContentError):
            raise StatusError(_CODES[error.reason], str(error)) from error
        if isinstance(error, _wire.ProtoDecodeError):
            raise StatusError(Code.INTERNAL, f"the request can not be read: {error}") from error


def _digest(request: bytes, field: int = 1) -> str:
    digest = _text(_wire.first(request, field))
    if not is_digest(digest):
        raise StatusError(Code.INVALID_ARGUMENT, f'"{digest}" failed validation')
    return digest


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _info(store: LocalStore, request: bytes) -> bytes:
    return _wire.field_bytes(1, encode_blob_info(store.info(_digest(request))))


def _update(store: LocalStore, request: bytes) -> bytes:
    _digest(_wire.first(request, 1))
    # containerd's store without labels has nothing that could be updated.
    raise ContentError(
        f"update not supported on immutable content store {store.root.name}: failed precondition",
        reason="unsupported",
    )


def _delete(store: LocalStore, request: bytes) -> bytes:
    store.delete(_digest(request))
    return b""


def _status(store: LocalStore, request: bytes) -> bytes:
    ref = _text(_wire.first(request, 1))
    try:
        return _wire.field_bytes(1, encode_ingest_status(store.status(ref)))
    except ContentError as exc:
        raise ContentError(f'could not get status for ref "{ref}": {exc}', reason=exc.reason) from exc


def _list_statuses(store: LocalStore, request: bytes) -> bytes:
    matches = compile_filters(_wire.strings(request, 1))
    found = (status for status in store.statuses() if matches(partial(_status_field, status)))
    return b"".join(_wire.field_bytes(1, encode_ingest_status(status)) for status in found)


def _abort(store: LocalStore, request: bytes) -> bytes:
    store.abort(_text(_wire.first(request, 1)))
    return b""


def _blob_field(blob: BlobInfo, path: object) -> str | None:
    return blob.digest if isinstance(path, list) and path[0] == "digest" else None


def _status_field(status: IngestStatus, path: object) -> str | None:
    return status.ref if isinstance(path, list) and path[0] == "ref" else None

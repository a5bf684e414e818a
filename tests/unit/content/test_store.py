"""The store on disk: its layout is containerd's, and Go's own code reads and continues what we write."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.content.store import LocalStore, check_directory
from pybuildkit.errors import ConfigError, ContentError
from tests.support.goprograms import program

go_tool = cache(program)


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def add(store: LocalStore, data: bytes, ref: str = "ref") -> str:
    ingest = store.writer(ref)
    ingest.write(data)
    return ingest.commit()


def reason(call: object, *args: object, **options: object) -> str:
    with pytest.raises(ContentError) as caught:
        call(*args, **options)  # type: ignore[operator]
    return caught.value.reason


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store", writable=True)


def test_the_layout(store: LocalStore) -> None:
    """S95: blobs without write bits, an empty ingest directory."""
    mask = os.umask(0o022)
    try:
        digest = add(store, b"content")
    finally:
        os.umask(mask)
    path = store.root / "blobs" / "sha256" / digest.removeprefix("sha256:")
    assert digest == digest_of(b"content")
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert path.stat().st_nlink == 1
    assert sorted(os.listdir(store.root)) == ["blobs", "ingest"]
    assert os.listdir(store.root / "ingest") == []


def test_an_unfinished_write(store: LocalStore) -> None:
    """S95: ``ingest/<sha256 of the reference>`` with the four files; it is taken up where it stopped."""
    before = time.time_ns()
    ingest = store.writer("layer-é", size=9)
    ingest.write(b"first")
    ingest.close()
    directory = store.root / "ingest" / hashlib.sha256("layer-é".encode()).hexdigest()
    assert sorted(os.listdir(directory)) == ["data", "ref", "startedat", "total", "updatedat"]
    assert (directory / "ref").read_text("utf-8") == "layer-é"
    status = store.status("layer-é")
    assert (status.ref, status.offset, status.total) == ("layer-é", 5, 9)
    assert before <= status.started_ns <= status.updated_ns <= time.time_ns()
    assert list(store.statuses()) == [status]

    again = LocalStore(store.root, writable=True).writer("layer-é", size=9)
    assert (again.offset, again.started_ns) == (5, status.started_ns)
    again.write(b"last")
    assert again.commit(9, digest_of(b"firstlast")) == digest_of(b"firstlast")
    assert reason(store.status, "layer-é") == "not-found"


def test_a_write_that_promises_another_size_begins_anew(store: LocalStore) -> None:
    for size in (9, 3):
        ingest = store.writer("ref", size=size)
        assert ingest.offset == 0
        ingest.write(b"abc")
        ingest.close()
    assert (store.status("ref").offset, store.status("ref").total) == (3, 3)


def test_a_damaged_unfinished_write_begins_anew(store: LocalStore) -> None:
    ingest = store.writer("ref")
    ingest.write(b"abc")
    ingest.close()
    directory = store.root / "ingest" / hashlib.sha256(b"ref").hexdigest()
    (directory / "startedat").write_text("yesterday")
    assert reason(store.status, "ref") == "corrupt"
    assert list(store.statuses()) == []
    ingest = store.writer("ref")
    assert ingest.offset == 0
    ingest.close()
    (directory / "ref").write_text("another")
    ingest = store.writer("ref")
    assert ingest.offset == 0
    ingest.close()


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_other_algorithms(store: LocalStore, algorithm: str) -> None:
    """Known at the beginning, or only at the end."""
    for data, early in ((b"early", True), (b"late", False)):
        expected = digest_of(data, algorithm)
        ingest = store.writer("ref", expected=expected if early else "")
        ingest.write(data)
        assert ingest.commit(len(data), expected) == expected
        assert store.read(expected) == data
    assert [blob.digest for blob in store.walk()] == sorted(
        digest_of(d, algorithm) for d in (b"early", b"late")
    )


def test_a_commit_checks_size_and_digest(store: LocalStore) -> None:
    """S95: what does not match is no blob, and can be tried again."""
    for size, expected in ((4, ""), (0, digest_of(b"x")), (3, digest_of(b"x", "sha512"))):
        ingest = store.writer("ref")
        ingest.truncate()
        ingest.write(b"abc")
        assert reason(ingest.commit, size, expected) == "mismatch"
        ingest.close()
    ingest = store.writer("ref")
    assert reason(ingest.commit, 0, "md5:00") == "invalid"
    assert list(store.walk()) == []


def test_what_exists_is_not_written_again(store: LocalStore) -> None:
    digest = add(store, b"content")
    assert reason(store.writer, "other", expected=digest) == "exists"
    ingest = store.writer("other")
    ingest.write(b"content")
    assert reason(ingest.commit) == "exists"
    assert os.listdir(store.root / "ingest") == []
    assert store.latest == digest


def test_one_writer_a_reference(store: LocalStore) -> None:
    """S94: also in another process, which containerd does not see."""
    ingest = store.writer("ref")
    assert reason(store.writer, "ref") == "busy"
    assert reason(LocalStore(store.root, writable=True).writer, "ref") == "busy"
    ingest.close()
    store.writer("ref").close()


def test_a_process_that_died_while_it_committed(store: LocalStore) -> None:
    """Between the link and the clean-up: the blob is whole, and the reference can be used again."""
    ingest = store.writer("ref")
    ingest.write(b"content")
    directory = store.root / "ingest" / hashlib.sha256(b"ref").hexdigest()
    target = store.path(digest_of(b"content"))
    target.parent.mkdir(parents=True)
    target.hardlink_to(directory / "data")
    ingest.close()
    again = store.writer("ref")
    assert again.offset == 0
    again.write(b"other")
    again.commit()
    assert store.read(digest_of(b"content")) == b"content"
    assert store.read(digest_of(b"other")) == b"other"


def test_truncate_and_abort(store: LocalStore) -> None:
    ingest = store.writer("ref")
    ingest.write(b"wrong")
    ingest.truncate()
    ingest.write(b"right")
    assert ingest.commit() == digest_of(b"right")
    ingest = store.writer("ref")
    ingest.write(b"x")
    store.abort("ref")
    ingest.close()
    assert os.listdir(store.root / "ingest") == []
    store.abort("never")


def test_info_open_read_delete(store: LocalStore) -> None:
    digest = add(store, b"content")
    info = store.info(digest)
    assert (info.digest, info.size) == (digest, 7)
    assert abs(info.created_ns - time.time_ns()) < 60 * 10**9
    file, size = store.open(digest)
    assert os.read(file, 100) == b"content"
    assert size == 7
    os.close(file)
    store.delete(digest)
    store.delete(digest)
    for call in (store.info, store.open, store.read):
        assert reason(call, digest) == "not-found"
        assert reason(call, "sha256:abc") == "invalid"
        assert reason(call, "../../etc/passwd") == "invalid"


def test_read_checks_what_it_reads(store: LocalStore) -> None:
    digest = add(store, b"content")
    assert reason(store.read, digest, limit=6) == "corrupt"
    path = store.path(digest)
    path.chmod(0o644)
    path.write_bytes(b"CONTENT")
    assert reason(store.read, digest) == "corrupt"


def test_reading_creates_nothing(tmp_path: Path) -> None:
    """T21."""
    store = LocalStore(tmp_path / "none")
    digest = digest_of(b"x")
    assert list(store.walk()) == []
    assert list(store.statuses()) == []
    assert reason(store.info, digest) == "not-found"
    assert os.listdir(tmp_path) == []


def test_what_is_only_read_is_not_written(tmp_path: Path) -> None:
    digest = add(LocalStore(tmp_path, writable=True), b"content")
    store = LocalStore(tmp_path)
    assert reason(store.writer, "ref") == "read-only"
    assert reason(store.delete, digest) == "read-only"
    assert reason(store.abort, "ref") == "read-only"
    assert store.read(digest) == b"content"


def test_strange_things_in_the_directory(store: LocalStore) -> None:
    digest = add(store, b"content")
    (store.root / "blobs" / "sha256" / "README").write_text("x")
    (store.root / "blobs" / "sha256" / ("0" * 64)).mkdir()
    (store.root / "blobs" / "md5").mkdir()
    os.mkfifo(store.root / "blobs" / "sha256" / ("1" * 64))
    (store.root / "ingest" / "stray").write_text("x")
    assert [blob.digest for blob in store.walk()] == [digest]
    assert list(store.statuses()) == []
    assert reason(store.open, "sha256:" + "1" * 64) == "not-found"


def test_directories_are_checked(tmp_path: Path) -> None:
    check_directory(tmp_path / "a" / "b", what="cache directory")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "x"):
        with pytest.raises(ConfigError, match="cache directory"):
            check_directory(path, what="cache directory")


# --- with Go's own code ---


def go(*args: str | Path, stdin: bytes = b"") -> str:
    done = subprocess.run(
        [go_tool("ocistore"), *args], input=stdin, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_go_reads_what_we_write(store: LocalStore) -> None:
    """S95: blobs, and a write to go on with."""
    digests = {add(store, data): len(data) for data in (b"", b"a", b"b" * 100_000)}
    ingest = store.writer("unfinished", size=12)
    ingest.write(b"half")
    ingest.close()
    status = store.status("unfinished")
    found: dict[str, Any] = json.loads(go("list", store.root))
    assert found["blobs"] == digests
    assert found["ingests"] == [
        {
            "ref": "unfinished",
            "offset": 4,
            "total": 12,
            "started": status.started_ns,
            "updated": status.updated_ns,
        }
    ]
    assert go("commit", store.root, "unfinished", stdin=b" and half").strip() == digest_of(b"half and half")
    assert store.read(digest_of(b"half and half")) == b"half and half"


def test_we_go_on_with_what_go_began(store: LocalStore) -> None:
    go("write", store.root, "ref", stdin=b"begun")
    status = store.status("ref")
    assert (status.ref, status.offset) == ("ref", 5)
    assert abs(status.started_ns - time.time_ns()) < 60 * 10**9
    ingest = store.writer("ref")
    ingest.write(b" and ended")
    digest = ingest.commit()
    assert json.loads(go("list", store.root)) == {"blobs": {digest: 15}, "ingests": []}
    assert store.read(digest) == b"begun and ended"

"""``index.json`` of OCI layouts, beside Go's own code and in competition with it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.content.descriptor import IMAGE_NAME, REF_NAME, Descriptor
from pybuildkit.content.ociindex import ImageName, OCIIndex, Tag
from pybuildkit.errors import ContentError
from tests.support.goprograms import program

go_tool = cache(program)

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def described(number: int, **annotations: str) -> Descriptor:
    return Descriptor(MANIFEST, f"sha256:{number:064x}", number, annotations)


def raw(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "index.json").read_bytes())
    return found


def test_a_new_index(tmp_path: Path) -> None:
    """V28, V29, W2."""
    OCIIndex(tmp_path).put(described(1, k="v"), [Tag("latest")])
    assert (tmp_path / "oci-layout").read_bytes() == b'{"imageLayoutVersion":"1.0.0"}'
    assert raw(tmp_path) == {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                "mediaType": MANIFEST,
                "digest": f"sha256:{1:064x}",
                "size": 1,
                "annotations": {"k": "v", REF_NAME: "latest"},
            }
        ],
    }
    assert sorted(os.listdir(tmp_path)) == ["index.json", "oci-layout"]


def test_names_move(tmp_path: Path) -> None:
    """V29: whoever had the name loses it; the others, and what is not known, stay."""
    index = OCIIndex(tmp_path)
    index.put(described(1), [Tag("latest"), ImageName("docker.io/library/a:1")])
    index.put(described(2), [Tag("latest")])
    index.put(described(3))
    index.put(described(3))
    found = raw(tmp_path)
    found["annotations"] = {"kept": "yes"}
    found["manifests"][0]["platform"] = {"os": "linux"}
    (tmp_path / "index.json").write_text(json.dumps(found))
    index.put(described(4), [ImageName("docker.io/library/a:1")])
    manifests = index.manifests()
    assert [int(found.digest.removeprefix("sha256:"), 16) for found in manifests] == [2, 3, 3, 4]
    assert manifests[3].annotations == {IMAGE_NAME: "docker.io/library/a:1", REF_NAME: "1"}
    assert raw(tmp_path)["annotations"] == {"kept": "yes"}


def test_get(tmp_path: Path) -> None:
    """V30: by full name first, then by tag."""
    index = OCIIndex(tmp_path)
    index.put(described(1), [Tag("x:1")])
    index.put(described(2), [ImageName("x:1")])
    index.put(described(3), [ImageName("docker.io/x/y:tag")])
    assert index.get("x:1") == index.manifests()[1]
    found = index.get("tag")
    assert found is not None
    assert found.size == 3
    assert index.get("nothing") is None
    assert index.single() is None
    one = OCIIndex(tmp_path / "one")
    (tmp_path / "one").mkdir()
    one.put(described(7))
    assert one.single() == described(7)


def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    """T21: no directory, no lock file."""
    with pytest.raises(ContentError) as caught:
        OCIIndex(tmp_path / "none").get("latest")
    assert caught.value.reason == "not-found"
    assert os.listdir(tmp_path) == []
    OCIIndex(tmp_path).put(described(1))
    before = sorted((name, (tmp_path / name).stat().st_mtime_ns) for name in os.listdir(tmp_path))
    tmp_path.chmod(0o555)
    OCIIndex(tmp_path).manifests()
    tmp_path.chmod(0o755)
    assert sorted((name, (tmp_path / name).stat().st_mtime_ns) for name in os.listdir(tmp_path)) == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"manifests": {}}',
        '{"manifests": [1]}',
        '{"manifests": [{"digest": "x"}]}',
        '{"manifests":[{"digest": 1}]}',
    ],
)
def test_what_is_no_index(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.json").write_text(text)
    index = OCIIndex(tmp_path, patience=0.05)
    if text:
        with pytest.raises(ContentError) as caught:
            index.manifests()
        assert caught.value.reason == "corrupt"
    else:
        assert index.manifests() == []


def test_a_directory_that_can_not_be_written(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="can not write"):
        OCIIndex(tmp_path / "none").put(described(1))


def test_a_writer_that_writes_in_place_is_waited_for(tmp_path: Path) -> None:
    """V28: Go truncates and writes; a reader meanwhile sees half of it."""
    OCIIndex(tmp_path).put(described(1))
    whole = (tmp_path / "index.json").read_bytes()
    (tmp_path / "index.json").write_bytes(whole[:20])
    timer = threading.Timer(0.1, (tmp_path / "index.json").write_bytes, [whole])
    timer.start()
    assert OCIIndex(tmp_path).manifests() == [described(1)]
    timer.join()


def test_the_lock_is_waited_for(tmp_path: Path) -> None:
    """X14: where Go gives up at once."""
    index = OCIIndex(tmp_path, patience=10)
    index.put(described(1))
    with (tmp_path / "index.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ContentError) as caught:
            OCIIndex(tmp_path, patience=0.1).put(described(2))
        assert caught.value.reason == "busy"
        with pytest.raises(ContentError):
            OCIIndex(tmp_path, patience=0.1).manifests()
        writer = threading.Thread(target=index.put, args=[described(2)])
        writer.start()
        time.sleep(0.1)
        assert len(raw(tmp_path)["manifests"]) == 1
    writer.join()
    assert len(index.manifests()) == 2
    assert sorted(os.listdir(tmp_path)) == ["index.json", "oci-layout"]


def test_many_writers_lose_nothing(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pybuildkit.content.descriptor import Descriptor\n"
        "from pybuildkit.content.ociindex import OCIIndex, Tag\n"
        "for n in range(20):\n"
        "    number = int(sys.argv[2]) * 100 + n\n"
        "    OCIIndex(sys.argv[1]).put(Descriptor('m', f'sha256:{number:064x}', n), [Tag(f't{number}')])\n"
    )
    import sys

    writers = [subprocess.Popen([sys.executable, "-c", script, tmp_path, str(n)]) for n in range(4)]
    reads = 0
    while any(writer.poll() is None for writer in writers):
        if (tmp_path / "index.json").exists():
            reads += len(OCIIndex(tmp_path).manifests()) >= 0
    assert [writer.wait() for writer in writers] == [0] * 4
    assert len(OCIIndex(tmp_path).manifests()) == 80
    assert reads
    assert sorted(os.listdir(tmp_path)) == ["index.json", "oci-layout"]


# --- with Go's own code ---


def go(*args: str | Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([go_tool("ocistore"), *args], capture_output=True, timeout=60, check=False)


def test_go_and_we_write_the_same(tmp_path: Path) -> None:
    names = [
        "tag:latest",
        "name:docker.io/library/busybox:1.0",
        "name:localhost:5000/x:tag",
        "name:ghcr.io/a/b@sha256:" + "0" * 64,
        "name:plain",
        "name:plain:1",
        "name:plain:1.0",
        "name:a/b",
        "name:http://x/y:z",
        "name:/x",
    ]
    descriptor = Descriptor.parse(
        {
            "mediaType": MANIFEST,
            "digest": f"sha256:{1:064x}",
            "size": 3,
            "annotations": {"b": "1", "a": "é"},
            "platform": {"architecture": "amd64", "os": "linux"},
        }
    )
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    for chosen in (names, names[:2], [], ["tag:other"]):
        given = [
            Tag(n.removeprefix("tag:")) if n.startswith("tag:") else ImageName(n.removeprefix("name:"))
            for n in chosen
        ]
        OCIIndex(ours).put(descriptor, given)
        assert go("put", theirs, json.dumps(descriptor.to_json()), *chosen).returncode == 0
        assert (ours / "index.json").read_bytes() == (theirs / "index.json").read_bytes()
        assert (ours / "oci-layout").read_bytes() == (theirs / "oci-layout").read_bytes()
    assert json.loads(go("get", ours, "latest").stdout)["digest"] == descriptor.digest


def test_go_writes_meanwhile(tmp_path: Path) -> None:
    """V27: Go does not wait, so it may fail; what it says it has written must be there."""
    go_tool("ocistore")
    written: list[int] = []

    def let_go_write() -> None:
        for number in range(1000, 1020):
            text = json.dumps(described(number).to_json())
            if go("put", tmp_path, text, f"tag:{number}").returncode == 0:
                written.append(number)

    other = threading.Thread(target=let_go_write)
    other.start()
    number = 0
    while other.is_alive():
        number += 1
        OCIIndex(tmp_path).put(described(number), [Tag(str(number % 7))])
    other.join()
    sizes = {found.size for found in OCIIndex(tmp_path).manifests()}
    assert set(written) <= sizes
    assert number in sizes


def test_a_lock_file_that_a_dead_writer_left(tmp_path: Path) -> None:
    """It is not trusted at once, as Go removes it after it has let go of it; but it stops nobody."""
    (tmp_path / "index.json.lock").touch()
    OCIIndex(tmp_path).put(described(1))
    assert sorted(os.listdir(tmp_path)) == ["index.json", "oci-layout"]


def test_a_lock_file_about_to_be_removed(tmp_path: Path) -> None:
    """Somebody who is not holding it any more removes it: only a lock that nobody removes is one."""
    lock = tmp_path / "index.json.lock"
    lock.touch()
    before = lock.stat().st_ino
    seen: list[int] = []

    def remove() -> None:
        with lock.open() as held:  # the writer has got it meanwhile, and must not believe in it
            while True:
                try:
                    fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    break
                fcntl.flock(held, fcntl.LOCK_UN)
        seen.append(lock.stat().st_ino)
        lock.unlink()

    other = threading.Thread(target=remove)
    other.start()
    OCIIndex(tmp_path).put(described(1))
    other.join()
    assert seen == [before]
    assert sorted(os.listdir(tmp_path)) == ["index.json", "oci-layout"]


def test_who_opened_the_lock_in_time_never_gets_it(tmp_path: Path) -> None:
    """Go opens the file, and locks it later, without a look whether it is still there."""
    index = OCIIndex(tmp_path)
    outcomes: list[str] = []

    def intrude() -> None:
        with suppress(FileNotFoundError), (tmp_path / "index.json.lock").open() as lock:
            time.sleep(0.002)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                outcomes.append("refused")
            else:
                outcomes.append("locked" if os.fstat(lock.fileno()).st_nlink == 0 else "before")

    running = True

    def keep_intruding() -> None:
        while running:
            intrude()

    other = threading.Thread(target=keep_intruding)
    other.start()
    for number in range(100):
        with suppress(ContentError):
            index.put(described(number))
    running = False
    other.join()
    assert "refused" in outcomes
    assert "locked" not in outcomes

"""Dockerfile directories on a real daemon."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from pybuildkit import AsyncClient
from pybuildkit.errors import ConfigError, FrontendError, TransferError
from pybuildkit.events import Transfer
from pybuildkit.fsutil import MemoryTree
from pybuildkit.outputs import OCI, Local
from pybuildkit.testing.service import BuildkitdService

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

EPOCH = "1700000000"


def write(folder: Path, **files: str) -> Path:
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


async def test_options_reach_the_frontend(buildkit: AsyncClient, tmp_path: Path) -> None:
    context = write(
        tmp_path / "ctx",
        Dockerfile="FROM busybox\nRUN false\n",
        other=(
            "FROM busybox AS one\nARG WHAT=nothing\nRUN echo $WHAT $(hostname) $(cat /etc/hosts | grep extra) > /out\n"
            "FROM scratch AS two\nCOPY --from=one /out /\nFROM busybox\nRUN false\n"
        ),
    )
    await buildkit.build(
        context,
        file=context / "other",
        target="two",
        build_args={"WHAT": "hello"},
        hostname="builder",
        add_hosts={"extra.test": "10.9.8.7"},
        outputs=Local(tmp_path / "out"),
    )
    assert (tmp_path / "out" / "out").read_text().split() == ["hello", "builder", "10.9.8.7", "extra.test"]


async def test_labels_and_platforms_make_an_index(buildkit: AsyncClient, tmp_path: Path) -> None:
    context = write(tmp_path / "ctx", Dockerfile="FROM busybox\nLABEL a=b\nCOPY file /\n", file="x")
    result = await buildkit.build(
        context,
        labels={"who": "me"},
        platforms=["linux/amd64", "linux/arm64"],
        tags="example.test/multi:1",
        outputs=OCI(tmp_path / "image.tar"),
    )
    assert result.image_names == ("example.test/multi:1",)
    with tarfile.open(tmp_path / "image.tar") as tar:

        def blob(digest: str) -> Any:
            file = tar.extractfile(f"blobs/sha256/{digest.removeprefix('sha256:')}")
            assert file is not None
            return json.load(file)

        assert result.digest is not None
        index = blob(result.digest)
        images = [m for m in index["manifests"] if "attestation" not in json.dumps(m)]
        assert {m["platform"]["architecture"] for m in images} == {"amd64", "arm64"}
        config = blob(blob(images[0]["digest"])["config"]["digest"])
        assert config["config"]["Labels"] == {"a": "b", "who": "me"}


async def test_only_what_is_asked_for_is_sent(buildkit: AsyncClient, tmp_path: Path) -> None:
    """S36, S40: .dockerignore and COPY's own paths decide, in the daemon; nothing else crosses the wire."""
    context = write(
        tmp_path / "ctx",
        Dockerfile="FROM scratch\nCOPY src /src\n",
        src__wanted="w" * 1000,
        src__ignored__big="i" * 500_000,
        elsewhere__big="e" * 500_000,
    )
    (context / ".dockerignore").write_text("# comment\nsrc/ignored\n")
    sent = 0
    async with buildkit.stream(context, outputs=Local(tmp_path / "out")) as build:
        async for event in build:
            if isinstance(event, Transfer) and event.id == "transferring context:":
                sent = max(sent, event.current)
        await build.result()
    assert 1000 <= sent < 10_000
    assert sorted(p.name for p in (tmp_path / "out").rglob("*")) == ["src", "wanted"]


async def test_contexts_of_all_kinds(buildkit: AsyncClient, tmp_path: Path) -> None:
    named = write(tmp_path / "named", inside="named")
    text = b"FROM busybox AS b\nFROM scratch\nCOPY a /a\nCOPY --from=more inside /b\nCOPY --from=img /bin/sh /sh\n"
    await buildkit.build(
        MemoryTree({"a": b"memory"}),
        file=text,
        contexts={"more": named, "img": "docker-image://busybox"},
        outputs=Local(tmp_path / "out"),
    )
    assert (tmp_path / "out" / "a").read_text() == "memory"
    assert (tmp_path / "out" / "b").read_text() == "named"
    assert (tmp_path / "out" / "sh").stat().st_size > 1000


async def test_unchanged_context_is_not_sent_again(buildkit: AsyncClient, tmp_path: Path) -> None:
    """T19: a directory has a key of its own, so it is compared with itself."""
    context = write(tmp_path / "ctx", Dockerfile="FROM scratch\nCOPY big /\n", big="x" * 300_000)
    sent = []
    for _ in range(2):
        last = 0
        async with buildkit.stream(context) as build:
            async for event in build:
                if isinstance(event, Transfer) and event.id == "transferring context:":
                    last = max(last, event.current)
            await build.result()
        sent.append(last)
    assert sent[0] > 300_000
    assert sent[1] < 5_000


async def test_two_directories_with_equal_metadata_are_not_confused(
    buildkit: AsyncClient, tmp_path: Path
) -> None:
    """T19, X6: with buildctl's empty key the second build would get the first one's file."""
    import os

    for name in ("one", "two"):
        context = write(tmp_path / name, Dockerfile="FROM scratch\nCOPY file /\n", file=name)
        os.utime(context / "file", ns=(10**18, 10**18))
        await buildkit.build(context, outputs=Local(tmp_path / f"out-{name}"))
        assert (tmp_path / f"out-{name}" / "file").read_text() == name


async def test_the_image_is_buildctls(
    buildkit: AsyncClient, buildkitd: BuildkitdService, buildctl: Path, tmp_path: Path
) -> None:
    """The same directory, SOURCE_DATE_EPOCH and rewrite-timestamp: the same digest."""
    context = write(
        tmp_path / "ctx",
        Dockerfile='FROM busybox\nARG SOURCE_DATE_EPOCH\nRUN echo made > /made\nCOPY . /src/\nCMD ["sh"]\n',
        file="content",
        sub__other="more",
    )
    ours = await buildkit.build(
        context,
        build_args={"SOURCE_DATE_EPOCH": EPOCH},
        outputs=OCI(tmp_path / "ours.tar", rewrite_timestamp=True),
    )
    metadata = tmp_path / "metadata.json"
    flags = [f"--local=context={context}", f"--local=dockerfile={context}", f"--metadata-file={metadata}"]
    flags += [f"--output=type=oci,dest={tmp_path}/theirs.tar,rewrite-timestamp=true"]
    flags += ["--frontend=dockerfile.v0", f"--opt=build-arg:SOURCE_DATE_EPOCH={EPOCH}", "--no-cache"]
    command = [str(buildctl), "--addr", buildkitd.address, "build", *flags]
    subprocess.run(command, check=True, capture_output=True)  # noqa: ASYNC221 - a test
    theirs = json.loads(metadata.read_text())
    assert ours.digest == theirs["containerimage.digest"]
    assert ours.config_digest == theirs["containerimage.config.digest"]
    assert (tmp_path / "ours.tar").read_bytes() == (tmp_path / "theirs.tar").read_bytes()


async def test_what_is_missing_is_named(buildkit: AsyncClient, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        await buildkit.build(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="Dockerfile"):
        await buildkit.build(tmp_path / "empty")
    context = write(tmp_path / "ctx", Dockerfile="FROM busybox AS one\n")
    with pytest.raises(FrontendError, match="nostage"):
        await buildkit.build(context, target="nostage")


async def test_a_file_that_can_not_be_read_is_named(
    buildkit: AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S30, T22: neither left out nor sent empty."""
    import os

    real = os.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> int:
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    context = write(tmp_path / "ctx", Dockerfile="FROM scratch\nCOPY . /\n", sub__locked="x", other="y")
    with pytest.raises(TransferError, match="sub/locked") as caught:
        await buildkit.build(context)
    assert caught.value.path.endswith("sub/locked")

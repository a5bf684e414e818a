"""Every kind of source, fetched by a real daemon from servers on loopback."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path

import pytest

from pybuildkit import AsyncClient, llb
from pybuildkit.errors import BuildError
from pybuildkit.outputs import OCI
from pybuildkit.testing.images import OCIImage, busybox
from tests.support.graphs import solve, texts
from tests.support.servers import git, make_repository, serve_files, serve_git

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


@pytest.fixture(scope="module")
def box() -> OCIImage:
    """The base image of this machine's platform, as it is in the registry."""
    return busybox()


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


async def test_http(buildkit: AsyncClient) -> None:
    """L8, L35, L36: name, mode and owner are ours; the daemon checks the digest."""
    data = f"hello {uuid.uuid4()}".encode()
    with serve_files({"/dir/greeting.txt": data}) as files:
        url = f"{files.url}/dir/greeting.txt"
        plain = await texts(buildkit, llb.http(url))
        assert plain == {"greeting.txt": data.decode()}
        state = llb.http(
            url,
            checksum=sha256(data),
            filename="named",
            mode=0o640,
            uid=3,
            gid=4,
            user_agent="pybuildkit-test",
            accept="text/x",
        )
        found = (await solve(buildkit, state))["named"]
        assert (found.data, found.mode, found.owner) == (data.decode(), 0o640, (3, 4))
        headers = files.requests[-1]
        assert (headers["User-Agent"], headers["Accept"]) == ("pybuildkit-test", "text/x")
        with pytest.raises(BuildError, match="digest mismatch"):
            await buildkit.solve(llb.http(url, checksum=sha256(b"something else"), filename="x"))


async def test_http_with_a_secret_header(buildkit: AsyncClient) -> None:
    """L36."""
    with serve_files({"/private": b"for members"}, token="Bearer let-me-in") as files:
        state = llb.http(f"{files.url}/private", auth_header_secret="header")
        assert await texts(buildkit, state, secrets={"header": b"Bearer let-me-in"}) == {
            "private": "for members"
        }
        with pytest.raises(BuildError, match="401"):
            await buildkit.solve(llb.http(f"{files.url}/private", filename="again"))


async def test_git(buildkit: AsyncClient, tmp_path: Path) -> None:
    """L6, L37: branches, tags, commits, directories, the commit's times, the repository itself."""
    root = tmp_path / "repos"
    commit = make_repository(root / "app", {"README": "first\n", "src/main": "main\n", ".gitignore": "x\n"})
    with serve_git(root, tmp_path / "git.log") as address:
        url = f"{address}/app"
        head = await texts(buildkit, llb.git(url))
        assert head == {"README": "first\n", "src/main": "main\n", ".gitignore": "x\n"}
        (root / "app" / "README").write_text("second\n")
        git(root / "app", "commit", "-qam", "second")
        assert (await texts(buildkit, llb.git(url, "main")))["README"] == "second\n"
        for ref in ("v1", "refs/tags/v1", commit):
            assert (await texts(buildkit, llb.git(url, ref)))["README"] == "first\n"
        assert await texts(buildkit, llb.git(url, "v1", subdir="src")) == {"main": "main\n"}
        assert await texts(buildkit, llb.git(f"{url}#v1:src")) == {"main": "main\n"}
        timed = await solve(buildkit, llb.git(url, "v1", mtime="commit", checksum=commit))
        assert timed["README"].mtime == 981173106
        kept = await texts(buildkit, llb.git(url, keep_git_dir=True))
        assert ".git/HEAD" in kept
        with pytest.raises(BuildError, match="checksum"):
            await buildkit.solve(llb.git(url, "main", checksum=commit, submodules=False))
        with pytest.raises(BuildError, match="nowhere"):
            await buildkit.solve(llb.git(url, "nowhere"))


async def test_images(buildkit: AsyncClient, base_image: OCIImage) -> None:
    """L2, L31, L34: by tag, by digest, with a checksum, only the first layers."""
    tagged = llb.image("busybox:latest", resolve_mode="pull", internal=True)
    pinned = llb.image(f"busybox@{base_image.digest}", layer_limit=1)
    for state in (tagged, pinned, llb.image("busybox", checksum=base_image.digest)):
        made = state.run("busybox true && echo ok > /out/x", mounts={"/out": llb.scratch()})["/out"]
        assert await texts(buildkit, made) == {"x": "ok\n"}
    with pytest.raises(BuildError, match="digest"):
        await buildkit.solve(llb.image("busybox", checksum="sha256:" + "0" * 64))


async def test_a_platform_of_an_image(buildkit: AsyncClient, box: OCIImage) -> None:
    """L58, L80: the same bytes are called linux/arm64, too."""
    other = "linux/arm64" if box.platform != "linux/arm64" else "linux/amd64"
    found = await solve(
        buildkit, llb.scratch().copy(llb.image("busybox", platform=other), "/bin/busybox", "/")
    )
    assert found["busybox"].mode & 0o111


async def test_blobs(buildkit: AsyncClient, box: OCIImage) -> None:
    """L3: any blob of a repository, a configuration here, as a file."""
    digest = box.document["config"]["digest"]
    state = llb.image_blob(f"busybox@{digest}", filename="config.json", mode=0o600, uid=2)
    found = (await solve(buildkit, state))["config.json"]
    assert (found.data.encode(), found.mode, found.owner) == (box.blobs[digest], 0o600, (2, 0))


async def test_layouts_of_the_client(buildkit: AsyncClient, tmp_path: Path) -> None:
    """L4, L5, L43: an image, and a blob, out of a folder of the client."""
    folder = tmp_path / "layout"
    result = await buildkit.solve(
        llb.scratch().mkfile("/inside", "of a layout"), outputs=OCI(folder, tar=False)
    )
    state = llb.oci_layout(f"any/name@{result.digest}", store="mine")
    given = {"mine": folder}
    assert await texts(buildkit, state, oci_layouts=given) == {"inside": "of a layout"}
    assert result.config_digest is not None
    blob = llb.oci_layout_blob(f"any/name@{result.config_digest}", store="mine", filename="config")
    assert '"rootfs"' in (await texts(buildkit, blob, oci_layouts=given))["config"]

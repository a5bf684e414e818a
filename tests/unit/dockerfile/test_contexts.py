"""Contexts of Dockerfile builds: directories, files outside, URLs, trees in memory, named ones (V55 to V58)."""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.dockerfile import FrontendRequest, dockerfile_request
from pybuildkit.dockerfile.contexts import is_git, is_remote
from pybuildkit.errors import ConfigError
from pybuildkit.fsutil import Directory, MemoryTree

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
DIGEST = "sha256:" + "0" * 64


def request(context: Any, **options: Any) -> FrontendRequest:
    return dockerfile_request(context, environ={}, **options)


def paths(found: FrontendRequest) -> dict[str, Path | str]:
    """Locals by name: a directory's path, or what kind of tree it is."""
    return {
        name: Path(tree.path) if isinstance(tree, Directory) else type(tree).__name__
        for name, tree in found.locals.items()
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a Dockerfile, a sub-directory with others; the working directory."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "sub" / "dev.Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_directory(here: Path) -> None:
    """V58: the same tree under both names."""
    for context in (here, str(here), "."):
        found = request(context)
        assert found.attrs == {}
        assert found.locals["context"] is found.locals["dockerfile"]
    assert paths(request(here)) == {"context": here, "dockerfile": here}


def test_a_dockerfile_elsewhere(here: Path) -> None:
    """Paths are taken from the working directory; its directory becomes a tree of its own."""
    found = request("empty", file="sub/dev.Dockerfile")
    assert paths(found) == {"context": Path("empty"), "dockerfile": Path("sub")}
    assert found.attrs == {"filename": "dev.Dockerfile"}
    assert request(here, file=here / "sub" / "Dockerfile").attrs == {}


def test_a_dockerfile_as_bytes(here: Path) -> None:
    found = request("empty", file=b"FROM scratch\n")
    assert paths(found) == {"context": Path("empty"), "dockerfile": "MemoryTree"}
    assert found.attrs == {}
    with_tree = found.locals["dockerfile"].open()
    assert with_tree.list("") == ["Dockerfile"]
    with_tree.close()


def test_lower_case_is_found_too(here: Path) -> None:
    """The frontend itself falls back to it."""
    (here / "empty" / "dockerfile").write_text("FROM scratch\n")
    assert request("empty").attrs == {}


def test_a_dockerfile_from_a_pipe(here: Path) -> None:
    """As the shell's <(command) makes them."""
    os.mkfifo("pipe")
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(b"FROM scratch\n"))
    writer.start()
    found = request("empty", file="pipe")
    writer.join()
    tree = found.locals["dockerfile"].open()
    assert bytes(tree.read("Dockerfile", 100)) == b"FROM scratch\n"
    tree.close()


def test_a_linked_dockerfile_is_followed_out_of_its_directory(here: Path) -> None:
    """The frontend follows links only inside the tree it is given."""
    (here / "empty" / "Dockerfile").symlink_to("../sub/dev.Dockerfile")
    found = request("empty")
    assert paths(found) == {"context": Path("empty"), "dockerfile": here / "sub"}
    assert found.attrs == {"filename": "dev.Dockerfile"}
    (here / "sub" / "link").symlink_to("Dockerfile")
    assert request("empty", file="sub/link").attrs == {"filename": "link"}


@pytest.mark.parametrize(
    ("context", "options", "says"),
    [
        ("nowhere", {}, "the build context: .*'nowhere'"),
        ("Dockerfile", {}, "the build context: .*is not a directory"),
        (7, {}, "the build context can not be int"),
        ("empty", {}, r"there is no Dockerfile at 'empty/Dockerfile'; name it with file="),
        (".", {"file": "none"}, "'none' can not be used: No such file.*; name it with file="),
        (
            "sub",
            {"file": "dev.Dockerfile"},
            "'sub/dev.Dockerfile' is there: paths are taken from the working directory",
        ),
        (".", {"file": "sub"}, "'sub' is a directory"),
        (".", {"file": "https://example.com/Dockerfile"}, "a URL can not be the Dockerfile"),
    ],
)
def test_what_is_not_there(here: Path, context: Any, options: dict[str, Any], says: str) -> None:
    """Issue 3, 8: the error names the path that was tried."""
    with pytest.raises(ConfigError, match=says):
        request(context, **options)


def test_an_unreadable_dockerfile(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "Dockerfile")
    with pytest.raises(ConfigError, match="can not be read: Permission denied"):
        request(".")


@pytest.mark.parametrize(
    ("name", "context", "options"),
    [
        (".dockerignore", ".", {}),
        ("Dockerfile.dockerignore", ".", {}),
        ("sub/dev.Dockerfile.dockerignore", ".", {"file": "sub/dev.Dockerfile"}),
        (".dockerignore", ".", {"file": b"FROM scratch\n"}),
        ("sub/.dockerignore", ".", {"contexts": {"named": "sub"}}),
    ],
)
def test_an_ignore_file_that_can_not_be_read_is_an_error(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str, context: str, options: dict[str, Any]
) -> None:
    """X9: the frontend would take it for an empty one and everything would be sent."""
    (here / name).write_text("x\n")
    request(context, **options)
    access = os.access
    monkeypatch.setattr(os, "access", lambda p, mode: Path(p).name != Path(name).name and access(p, mode))
    with pytest.raises(ConfigError, match=r"nothing would be left out"):
        request(context, **options)
    monkeypatch.undo()
    monkeypatch.chdir(here)
    (here / name).unlink()
    (here / name).mkdir()
    with pytest.raises(ConfigError, match=r"nothing would be left out"):
        request(context, **options)


@pytest.mark.parametrize(
    ("url", "caps", "ssh"),
    [
        ("https://example.com/context.tar.gz", "", False),
        ("https://github.com/a/b.git#main:sub", "", False),
        ("https://github.com/a/b.git?ref=main", "moby.buildkit.frontend.gitquerystring", False),
        ("git@github.com:a/b.git", "", True),
        ("ssh://git@github.com/a/b", "", True),
        ("github.com/a/b", "", False),
    ],
)
def test_urls(url: str, caps: str, ssh: bool) -> None:
    """V58, V59: the daemon fetches them."""
    found = request(url)
    expected = {"context": url} | ({"frontend.caps": caps} if caps else {})
    assert (found.attrs, found.locals, found.wants_ssh) == (expected, {}, ssh)


def test_the_dockerfile_of_a_url(here: Path) -> None:
    """A relative path is inside; an absolute one, or bytes, is here, which the frontend must be told (V58)."""
    url = "https://github.com/a/b.git"
    assert request(url, file="ci/Dockerfile").attrs == {"context": url, "filename": "ci/Dockerfile"}
    outside = request(url, file=here / "sub" / "dev.Dockerfile")
    assert outside.attrs == {"context": url, "dockerfilekey": "dockerfile", "filename": "dev.Dockerfile"}
    assert paths(outside) == {"dockerfile": here / "sub"}
    given = request(url, file=b"FROM scratch\n")
    assert given.attrs == {"context": url, "dockerfilekey": "dockerfile"}
    assert paths(given) == {"dockerfile": "MemoryTree"}


def test_a_directory_wins_over_a_url(here: Path) -> None:
    (here / "github.com").mkdir()
    (here / "github.com" / "a").mkdir()
    (here / "github.com" / "a" / "Dockerfile").write_text("FROM scratch\n")
    assert "context" in request("github.com/a").locals


def test_trees_that_are_not_on_disk(here: Path) -> None:
    """X12."""
    tree = MemoryTree({"Dockerfile": b"FROM scratch\n", "ci/D": b"FROM scratch\n"})
    assert request(tree).locals == {"context": tree, "dockerfile": tree}
    assert request(tree, file="ci/D").attrs == {"filename": "ci/D"}
    outside = request(tree, file=here / "sub" / "Dockerfile")
    assert paths(outside) == {"context": "MemoryTree", "dockerfile": here / "sub"}
    assert request(tree, file=b"FROM scratch\n").locals["dockerfile"] is not tree


def test_git_addresses_are_recognised_as_go_does() -> None:
    """dfgitutil.ParseGitRef, over the table of tools/cmd/valuevectors."""
    cases = json.loads(gzip.decompress((VECTORS / "remotes.json.gz").read_bytes()))
    assert len(cases) >= 1000
    for case in cases:
        assert is_git(case["in"]) == case["git"], case["in"]
    assert is_remote("http://x")
    assert not is_remote("oci-layout://x")


CAPS = {"frontend.caps": "moby.buildkit.frontend.contexts+forward"}


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("base", "docker-image://alpine:3.20", {"context:base": "docker-image://alpine:3.20"}),
        ("base", "docker-image://scratch", {"context:base": "docker-image://scratch"}),
        ("alpine:latest", "docker-image://busybox", {"context:alpine": "docker-image://busybox"}),
        ("docker.io/library/alpine", "docker-image://a", {"context:alpine": "docker-image://a"}),
        ("ghcr.io/a/b:1", "docker-image://a", {"context:ghcr.io/a/b:1": "docker-image://a"}),
        ("base::linux/amd64", "docker-image://a", {"context:base::linux/amd64": "docker-image://a"}),
        ("src", "https://example.com/x.tar", {"context:src": "https://example.com/x.tar"}),
        ("src", "git@github.com:a/b", {"context:src": "git@github.com:a/b"}),
        ("src", "input:x", {"context:src": "input:x"}),
    ],
)
def test_named_contexts(here: Path, name: str, source: str, expected: dict[str, str]) -> None:
    """V55, V56."""
    found = request(here, contexts={name: source})
    assert found.attrs == expected | CAPS
    assert set(found.locals) == {"context", "dockerfile"}
    assert found.wants_ssh == source.startswith("git@")


def test_a_named_git_context_with_a_query(here: Path) -> None:
    found = request(here, contexts={"src": "https://e/x.git?ref=1"})
    assert found.attrs["frontend.caps"] == (
        "moby.buildkit.frontend.contexts+forward,moby.buildkit.frontend.gitquerystring+forward"
    )


def test_named_directories(here: Path) -> None:
    """T19: directories with one name have keys of their own."""
    tree = MemoryTree({"a": b"1"})
    found = request(here, contexts={"src": "sub", "context": here / "empty", "mem": tree})
    assert paths(found) == {
        "context": here,
        "dockerfile": here,
        "src": Path("sub"),
        "_context": here / "empty",
        "mem": "MemoryTree",
    }
    assert found.attrs["context:src"] == "local:src"
    assert found.attrs["context:context"] == "local:_context"
    keys = [found.attrs[f"sharedkey:localdir:{name}"] for name in ("src", "context", "mem")]
    assert len(set(keys)) == 3
    assert all(len(key) == 32 for key in keys)
    again = request(here, contexts={"src": here / "sub"})
    assert again.attrs["sharedkey:localdir:src"] == keys[0]


def write_layout(path: Path, *tags: str) -> None:
    path.mkdir()
    manifests = [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": f"sha256:{number:064x}",
            "size": 1,
            "annotations": {"org.opencontainers.image.ref.name": tag},
        }
        for number, tag in enumerate(tags)
    ]
    (path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": manifests}))
    (path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')


def test_oci_layouts(here: Path) -> None:
    """V56: the digest comes from the index here; the tag is a help for people."""
    write_layout(here / "layout", "latest", "v1")
    write_layout(here / "one", "only")
    found = request(
        here,
        contexts={
            "a": "oci-layout://layout",
            "b": "oci-layout://layout:v1",
            "c": f"oci-layout://layout@{DIGEST}",
            "d": f"oci-layout://{here}/one",
        },
    )
    stores = {path: store for store, path in found.oci_layouts.items()}
    assert set(stores) == {Path("layout"), here / "one"}
    layout = stores[Path("layout")]
    assert found.attrs["context:a"] == f"oci-layout://{layout}@sha256:{0:064x}"
    assert found.attrs["context:b"] == f"oci-layout://{layout}:v1@sha256:{1:064x}"
    assert found.attrs["context:c"] == f"oci-layout://{layout}@{DIGEST}"
    assert found.attrs["context:d"] == f"oci-layout://{stores[here / 'one']}@sha256:{0:064x}"


@pytest.mark.parametrize(
    ("name", "source", "says"),
    [
        ("Bad Name", "sub", "the name of a context is that of a stage or an image"),
        ("x", "nowhere", "the context 'x': .*'nowhere'"),
        ("x", "Dockerfile", "the context 'x': .*is not a directory"),
        ("x", "docker-image://A", "lower case"),
        ("x", "target:base", "a single build has none"),
        ("x", "oci-layout://", "write oci-layout://DIRECTORY"),
        ("x", "oci-layout://nowhere", "can not be read as an OCI layout"),
        ("x", "oci-layout://two:none", "no image with the tag 'none'"),
        ("x", "oci-layout://two@sha256:1", "not an image reference|digits"),
        ("x", 7, "the context 'x' can not be int"),
    ],
)
def test_bad_named_contexts(here: Path, name: str, source: Any, says: str) -> None:
    write_layout(here / "two", "a", "b")
    with pytest.raises(ConfigError, match=says):
        request(here, contexts={name: source})

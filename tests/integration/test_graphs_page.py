"""The recipes of ``docs/graphs.md``, each run as it is printed.

The images that they name are stand-ins, made on the spot: busybox with small scripts in place of pip, go, apt-get and pytest.
They do with mounts, caches and outputs what the programs do; so it is the graphs that are tested, and no network is needed.
"""

from __future__ import annotations

import json
import re
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pybuildkit.testing.images import busybox_layer, directory, file, image, layer
from pybuildkit.testing.push import push
from tests.support.servers import serve_files

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "graphs.md").read_text()
BLOCKS = {
    block.strip().splitlines()[0]: code
    for block, code in re.findall(r"^## (.+?)\n.*?```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL)
}

PIP = """#!/bin/sh
set -e
case $1 in
wheel)
    test -d "$PIP_CACHE_DIR" && echo built >> "$PIP_CACHE_DIR/log"
    name=$(sed -n 's/^name = "\\(.*\\)"/\\1/p' pyproject.toml)
    tar -cf "$4/$name-1.0-py3-none-any.whl" src
    touch build-leftovers ;;
install) echo "$2" > /installed ;;
esac
"""
PYTEST = """#!/bin/sh
set -e
test "$(cat /installed)" = pytest
test "$(ls /sys/class/net)" = lo
if touch /src/x 2> /dev/null; then echo "/src can be written to"; exit 1; fi
if grep -q fail tests.txt; then echo "1 failed on $(cat /version)"; exit 1; fi
echo "<testsuite python=\\"$(cat /version)\\"/>" > "${2#--junit-xml=}"
"""
GO = """#!/bin/sh
set -e
case $1 in
mod) test -f go.mod; test ! -e cmd; mkdir -p /go/pkg/mod/example.test; touch /go/pkg/mod/example.test/m ;;
build)
    test -e /go/pkg/mod/example.test/m; test "$CGO_ENABLED" = 0
    mkdir -p "$(dirname "$4")"; cat cmd/service/main.go > "$4" ;;
esac
"""
APT = """#!/bin/sh
set -e
case $1 in
update) mkdir -p /var/lib/apt/lists; echo lists > /var/lib/apt/lists/all ;;
install)
    test "$DEBIAN_FRONTEND" = noninteractive; test ! -e /etc/apt/apt.conf.d/docker-clean
    cat /var/lib/apt/lists/all > /dev/null
    shift 3
    for package; do echo "$package" > "/var/cache/apt/$package.deb"; mkdir -p /usr/share; echo "$package" >> /usr/share/packages; done ;;
esac
"""
PROGRAMS = {
    "python": {"pip": PIP, "pytest": PYTEST},
    "golang": {"go": GO},
    "debian": {"apt-get": APT},
}


@pytest.fixture(scope="module", autouse=True)
def stand_ins(registry: Any) -> None:
    """Put the images that the recipes name where the daemon looks for docker.io."""
    below = busybox_layer()

    def put(name: str, tag: str, **extra: str) -> None:
        folders = ["usr", "usr/local", "usr/local/bin", "etc", "etc/apt", "etc/apt/apt.conf.d"]
        entries = [directory(folder) for folder in folders]
        entries += [file(f"usr/local/bin/{p}", text.encode(), 0o755) for p, text in PROGRAMS[name].items()]
        entries += [file("etc/apt/apt.conf.d/docker-clean", b"")]
        entries += [file(path, text.encode()) for path, text in extra.items()]
        push(image([below, layer(entries)]), f"{registry.host}/library/{name}:{tag}")

    for version in ("3.11", "3.12", "3.13"):
        put("python", f"{version}-slim", version=version)
    put("golang", "1.26")
    put("debian", "13-slim")


@pytest.fixture
def folder(buildkitd: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory of a recipe, and the daemon that its ``Client()`` finds."""
    monkeypatch.setenv("BUILDKIT_HOST", buildkitd.address)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(recipe: str, **changes: str) -> None:
    """Run a recipe's program, with some of its constants changed."""
    code = BLOCKS[recipe]
    for name, value in changes.items():
        found = re.search(rf"^{name} = .*?(?=\n[A-Za-z\n])", code, re.MULTILINE | re.DOTALL)
        assert found is not None, name
        code = code.replace(found[0], f"{name} = {value}")
    exec(compile(code, f"docs/graphs.md: {recipe}", "exec"), {"__name__": "__main__"})


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def members(archive: Path) -> Iterator[str]:
    """Names of all files in the layers of an OCI archive."""
    with tarfile.open(archive) as outer:
        manifest = json.load(outer.extractfile("index.json"))["manifests"][0]["digest"]  # type: ignore[arg-type]
        layers = json.load(outer.extractfile(f"blobs/sha256/{manifest[7:]}"))["layers"]  # type: ignore[arg-type]
        for one in layers:
            with tarfile.open(fileobj=outer.extractfile(f"blobs/sha256/{one['digest'][7:]}")) as inner:
                yield from inner.getnames()


def test_the_first_example(folder: Path) -> None:
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert code is not None
    exec(compile(code[1], "docs/graphs.md", "exec"), {})
    assert (folder / "hello" / "greeting").read_text() == "hello world\n"


def test_a_wheel(folder: Path) -> None:
    write(folder, pyproject_dot_toml='name = "app"\n', src__app_dot_py="x = 1\n", secret_dot_txt="not sent")
    run("A wheel")
    assert [path.name for path in (folder / "dist").iterdir()] == ["app-1.0-py3-none-any.whl"]
    with tarfile.open(folder / "dist" / "app-1.0-py3-none-any.whl") as wheel:
        assert wheel.getnames() == ["src", "src/app.py"]
    assert not (folder / "build-leftovers").exists()


def test_a_go_service(folder: Path, registry: Any) -> None:
    write(folder, go_dot_mod="module m\n", cmd__service__main_dot_go="package main\n", _dot_git__HEAD="x")
    run("A Go service", NAME=f'"{registry.host}/acme/service:1.4"')
    url = f"{registry.url}/v2/acme/service"
    request = urllib.request.Request(
        f"{url}/manifests/1.4",
        headers={
            "Accept": "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
        },
    )
    with urllib.request.urlopen(request) as answer:
        manifest = json.load(answer)
    with urllib.request.urlopen(f"{url}/blobs/{manifest['config']['digest']}") as answer:
        config = json.load(answer)
    assert config["config"]["Entrypoint"] == ["/service"]
    assert len(manifest["layers"]) == 1


def test_debian_packages(folder: Path) -> None:
    run("Debian packages")
    names = set(members(folder / "tools.tar"))
    assert "usr/share/packages" in names
    assert not any(name.endswith((".deb", "lists/all")) for name in names)


def test_tools(folder: Path) -> None:
    script = b"#!/bin/sh\necho 1.0\n"
    with serve_files({"/jq": script, "/yq": script}) as files:
        run(
            "Tools that do not wait for each other",
            TOOLS=repr({name: f"{files.url}/{name}" for name in ("jq", "yq")}),
        )
    names = list(members(folder / "toolbox.tar"))
    assert names.count("usr/local/bin/jq") == names.count("usr/local/bin/yq") == 1
    with tarfile.open(folder / "toolbox.tar") as outer:
        manifest = json.load(outer.extractfile("index.json"))["manifests"][0]["digest"]  # type: ignore[arg-type]
        assert len(json.load(outer.extractfile(f"blobs/sha256/{manifest[7:]}"))["layers"]) == 3  # type: ignore[arg-type]


def test_a_test_matrix(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, tests_dot_txt="all is well")
    run("A test matrix")
    assert {path.name for path in (folder / "reports").iterdir()} == {"3.11.xml", "3.12.xml", "3.13.xml"}
    assert 'python="3.12"' in (folder / "reports" / "3.12.xml").read_text()
    write(folder, tests_dot_txt="one must fail")
    run("A test matrix")
    shown = capsys.readouterr().out
    assert re.search(r"test with 3\.1\d failed:\n.*1 failed on 3\.1\d", shown, re.DOTALL)

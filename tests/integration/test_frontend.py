"""The example frontend: its image, built here, named by ``# syntax=``, used by buildctl and by us; and its function alone."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pybuildkit import AsyncClient
from pybuildkit.errors import ExecError, FrontendError
from pybuildkit.fsutil import MemoryTree
from pybuildkit.outputs import Local
from pybuildkit.testing.images import MANIFEST_TYPE, file
from pybuildkit.testing.push import push
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdService
from tests.support.pythonimage import python_image

pytestmark = [pytest.mark.integration, pytest.mark.anyio, pytest.mark.usefixtures("frontend")]

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "frontend"

APT = b"""#!/bin/sh
set -e
case $1 in
update) mkdir -p /var/lib/apt/lists; echo > /var/lib/apt/lists/all ;;
install) test -e /var/lib/apt/lists/all; shift 3; for package; do
    test "$package" != no-such-package || { echo "E: Unable to locate package $package"; exit 100; }
    echo "$package" >> /installed
done ;;
esac
"""

SERVICE = """\
# syntax={frontend}
base: python:3-slim
apt:
  - libpq5
  - curl
pip:
  - ./hello-1.0-py3-none-any.whl
copy:
  - app/ /srv/app
  - LICENSE
env: {{PORT: "8080"}}
workdir: /srv
ports: [8080]
entrypoint: [python3, app/server.py]
"""


@pytest.fixture(scope="module")
def base(registry: Registry) -> str:
    """``python:3-slim``, as far as the example needs it: this machine's Python with pip, and an apt-get of ours."""
    made = python_image("pip", more=[file("usr/local/bin/apt-get", APT, 0o755)])
    push(made, f"{registry.host}/library/python:3-slim")
    return "python:3-slim"


@pytest.fixture(scope="module")
def frontend(buildkitd: BuildkitdService, registry: Registry, base: str) -> str:
    """The frontend's image in the local registry, made as its users make it."""
    name = f"{registry.host}/acme/python-services:1"
    env = {**os.environ, "BUILDKIT_HOST": buildkitd.address, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [sys.executable, EXAMPLE / "build.py", name], env=env, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"sha256:[0-9a-f]{64}\n", done.stdout)
    return name


@pytest.fixture
def project(tmp_path: Path, frontend: str) -> Path:
    """A service that can be built."""
    folder = tmp_path / "project"
    (folder / "app").mkdir(parents=True)
    (folder / "service.yaml").write_text(SERVICE.format(frontend=frontend))
    (folder / "app" / "server.py").write_text("print('served')\n")
    (folder / "LICENSE").write_text("free\n")
    (folder / "secret").write_text("not sent\n")
    (folder / ".dockerignore").write_text("secret\n")
    with zipfile.ZipFile(folder / "hello-1.0-py3-none-any.whl", "w") as wheel:
        info = "hello-1.0.dist-info"
        wheel.writestr("hello.py", "greeting = 'hello from a wheel'\n")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n")
        wheel.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{info}/RECORD", f"hello.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n")
    return folder


Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def with_buildctl(buildctl: Path, buildkitd: BuildkitdService, project: Path) -> Run:
    """Build the project with plain buildctl, which knows nothing of YAML."""

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command: list[str | Path] = [
            buildctl,
            "--addr",
            buildkitd.address,
            "build",
            "--frontend=dockerfile.v0",
        ]
        command += ["--progress=plain", "--opt=filename=service.yaml"]
        command += [f"--local={name}={project}" for name in ("context", "dockerfile")]
        return subprocess.run([*command, *more], capture_output=True, text=True, timeout=100)

    return run


@pytest.fixture
def with_ours(buildkitd: BuildkitdService, project: Path) -> Run:
    """Build the project with our command line."""

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "pybuildkit",
            "--addr",
            buildkitd.address,
            "build",
            "--progress=plain",
        ]
        command += ["-f", str(project / "service.yaml"), str(project), *more]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=REPOSITORY)

    return run


@pytest.fixture(params=["with_buildctl", "with_ours"])
def build(request: pytest.FixtureRequest) -> Run:
    """Both ways to build."""
    found: Run = request.getfixturevalue(request.param)
    return found


def check_files(out: Path) -> None:
    assert (out / "installed").read_text() == "libpq5\ncurl\n"
    assert (out / "srv/app/server.py").read_text() == "print('served')\n"
    assert (out / "LICENSE").read_text() == "free\n"
    assert not (out / "secret").exists()
    [wheel] = out.glob("usr/local/lib/python3*/site-packages/hello.py")
    assert "hello from a wheel" in wheel.read_text()


def test_a_file_that_names_the_frontend_is_built_by_anyone(build: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = build("--output", f"type=local,dest={out}")
    assert done.returncode == 0, done.stderr
    check_files(out)
    for step in ("apt libpq5 curl", "pip ./hello-1.0-py3-none-any.whl", "copy app/ /srv/app"):
        assert step in done.stderr


def test_the_image_has_its_configuration(with_buildctl: Run, registry: Registry) -> None:
    done = with_buildctl(
        f"--output=type=image,name={registry.host}/acme/service:1,push=true", "--opt=label:who=me"
    )
    assert done.returncode == 0, done.stderr
    config = fetch_config(registry, "acme/service", "1")["config"]
    assert config["Entrypoint"] == ["python3", "app/server.py"]
    assert config["WorkingDir"] == "/srv"
    assert config["ExposedPorts"] == {"8080/tcp": {}}
    assert config["Labels"] == {"who": "me"}
    assert "PORT=8080" in config["Env"]
    assert any(item.startswith("PATH=") for item in config["Env"]), "the base's stay"


def fetch_config(registry: Registry, name: str, tag: str) -> dict[str, Any]:
    digest = fetch(registry, f"{name}/manifests/{tag}")["config"]["digest"]
    return fetch(registry, f"{name}/blobs/{digest}")


def fetch(registry: Registry, path: str) -> dict[str, Any]:
    request = urllib.request.Request(f"{registry.url}/v2/{path}", headers={"Accept": MANIFEST_TYPE})
    with urllib.request.urlopen(request, timeout=20) as answer:
        found: dict[str, Any] = json.load(answer)
        return found


def test_several_platforms_make_an_index(with_buildctl: Run, tmp_path: Path, project: Path) -> None:
    """Steps of another platform would need an emulator: this one only copies."""
    text = (project / "service.yaml").read_text()
    head = text.splitlines()[0]
    (project / "service.yaml").write_text(f"{head}\nbase: busybox\ncopy: [LICENSE]\n")
    out = tmp_path / "image.tar"
    done = with_buildctl("--opt=platform=linux/amd64,linux/arm64", f"--output=type=oci,tar=false,dest={out}")
    assert done.returncode == 0, done.stderr
    [top] = json.loads((out / "index.json").read_text())["manifests"]
    index = json.loads((out / "blobs" / "sha256" / top["digest"][7:]).read_text())
    assert {entry["platform"]["architecture"] for entry in index["manifests"]} == {"amd64", "arm64"}


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("pip:", "pipp:", "pipp:", "there is no key pipp; did you mean pip?"),
        ("workdir: /srv", "workdir: [/srv]", "workdir: [/srv]", "this must be a text"),
        ("env: {PORT", "env: {{PORT", 'env: {{PORT: "8080"}', "not YAML: expected ',' or '}'"),
        ("base: python:3-slim", "base: no/such", "base: no/such", "base: "),
    ],
    ids=["key", "kind", "syntax", "image"],
)
def test_a_broken_file_shows_the_offending_line(
    build: Run, project: Path, old: str, new: str, line: str, message: str
) -> None:
    """C54: the lines come out of our error, through the daemon, in whatever client there is."""
    path = project / "service.yaml"
    path.write_text(path.read_text().replace(old, new))
    done = build()
    assert done.returncode == 1
    assert re.search(rf"^ +\d+ \| >>> {re.escape(line)}$", done.stderr, re.MULTILINE), done.stderr
    assert "service.yaml:" in done.stderr
    assert message in done.stderr


def test_a_failed_step_shows_the_lines_that_it_came_from(build: Run, project: Path) -> None:
    path = project / "service.yaml"
    path.write_text(path.read_text().replace("libpq5", "no-such-package"))
    done = build()
    assert done.returncode == 1
    assert "E: Unable to locate package no-such-package" in done.stderr
    assert ">>>   - no-such-package" in done.stderr
    assert ">>>   - curl" in done.stderr, "it is the same step"


def test_warnings_show_up_in_progress(with_buildctl: Run, with_ours: Run, project: Path) -> None:
    """buildctl's plain display has no warnings, its raw one does."""
    path = project / "service.yaml"
    path.write_text(
        path.read_text().replace(
            "- ./hello-1.0-py3-none-any.whl", "- ./hello-1.0-py3-none-any.whl\n  - hello"
        )
    )
    warning = "hello has no version; write hello==VERSION"
    done = with_ours()
    assert done.returncode == 0, done.stderr
    assert warning in done.stderr
    raw = with_buildctl("--progress=rawjson")
    batches = [json.loads(line) for line in (raw.stdout + raw.stderr).splitlines() if line.startswith("{")]
    [found] = [one for batch in batches for one in batch.get("warnings") or ()]
    assert base64.b64decode(found["short"]).decode() == warning
    assert found["sourceInfo"]["filename"] == "service.yaml"
    assert found["range"][0]["start"]["line"] == 8


def test_named_contexts_and_their_own_ignore_files_work(with_ours: Run, tmp_path: Path) -> None:
    other, out = tmp_path / "other", tmp_path / "out"
    other.mkdir()
    for name in ("usr", "srv"):
        (other / name).mkdir()
    (other / "kept").write_text("1")
    (other / "dropped").write_text("2")
    (other / ".dockerignore").write_text("dropped")
    project = tmp_path / "project" / "service.yaml"
    head = project.read_text().splitlines()[0]
    project.write_text(f"{head}\nbase: own-base\ncopy: [LICENSE]\n")
    done = with_ours("--build-context", f"own-base={other}", "--output", f"type=local,dest={out}")
    assert done.returncode == 0, done.stderr
    assert {path.name for path in out.iterdir()} == {"usr", "srv", "kept", "LICENSE", ".dockerignore"}


def test_a_frontend_is_quick(with_buildctl: Run) -> None:
    """A cached build: the daemon starts the container, Python starts, reads, and answers."""
    assert with_buildctl().returncode == 0
    times = []
    for _ in range(3):
        started = time.monotonic()
        assert with_buildctl().returncode == 0
        times.append(time.monotonic() - started)
    assert min(times) < 5.0, "a second on an idle machine"


def test_the_image_is_small(frontend: str, registry: Registry) -> None:
    """What it adds to its base: no grpc, no protobuf."""
    name, _, tag = frontend.removeprefix(f"{registry.host}/").partition(":")
    layers = fetch(registry, f"{name}/manifests/{tag}")["layers"]
    assert sum(entry["size"] for entry in layers[2:]) < 3 << 20, layers


# --- the function, without an image -----------------------------------------------------------------------


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The example's function, imported as a user's test would."""
    monkeypatch.syspath_prepend(EXAMPLE)
    from importlib import import_module

    return import_module("services").services


async def test_a_function_runs_against_a_daemon_without_an_image(
    services: Any, buildkit: AsyncClient, project: Path, tmp_path: Path
) -> None:
    from pybuildkit.testing import run_frontend

    await run_frontend(
        services, buildkit, context=project, file="service.yaml", outputs=Local(tmp_path / "out")
    )
    check_files(tmp_path / "out")


async def test_what_a_function_gave_can_be_looked_into(
    services: Any, buildkit: AsyncClient, base: str
) -> None:
    from pybuildkit.testing import open_frontend

    tree = MemoryTree({"service.yaml": b"base: python:3-slim\napt: [curl]\nentrypoint: [x]\n"})
    async with open_frontend(services, buildkit, context=tree, opts={"label:a": "b"}) as run:
        assert await run.result.ref.read_file("/installed") == b"curl\n"
        config = run.result.config()
        assert config is not None
        assert (config["config"]["Entrypoint"], config["config"]["Labels"]) == (["x"], {"a": "b"})


async def test_its_errors_come_out_as_they_are(services: Any, buildkit: AsyncClient, base: str) -> None:
    from pybuildkit.testing import run_frontend

    with pytest.raises(FrontendError, match="did you mean base") as caught:
        await run_frontend(services, buildkit, context=MemoryTree({"service.yaml": b"bsae: x\n"}))
    assert caught.value.source is not None
    assert caught.value.source.line == 1
    tree = MemoryTree({"service.yaml": b"base: python:3-slim\n\napt: [no-such-package]\n"})
    with pytest.raises(ExecError) as failed:
        await run_frontend(services, buildkit, context=tree)
    assert failed.value.exit_code == 100
    assert failed.value.source is not None
    assert (failed.value.source.filename, failed.value.source.line) == ("service.yaml", 3)
    assert "Unable to locate" in failed.value.log

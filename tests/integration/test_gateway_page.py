"""The recipes of ``docs/gateway.md``, each run as it is printed, on images made on the spot in place of python's."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from pybuildkit import llb
from pybuildkit.outputs import Image, Local
from pybuildkit.testing.images import busybox_layer, directory, file, image, layer
from pybuildkit.testing.push import push
from tests.support import pulling

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "gateway.md").read_text()
RECIPES = dict(re.findall(r"^#+ (.+?)\n(?:(?!^#).)*?```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))

PIP = (
    '#!/bin/sh\ntest "$1" = install && echo "$2" > /installed && cp /src/app.py /app.py 2> /dev/null; true\n'
)
PYTEST = """#!/bin/sh
test "$(cat /installed)" = pytest || exit 9
test "$(ls /sys/class/net)" = lo || exit 8
echo "collecting $(cat /version)"
sleep 0.3
if grep -q "fails on $(cat /version)" tests.txt; then echo "1 failed" >&2; exit 1; fi
echo "1 passed"
"""


@pytest.fixture(scope="module")
def pythons(buildkitd: Any) -> None:
    """Stand-ins for ``python:VERSION-slim``."""
    for version in ("3.11", "3.12", "3.13"):
        programs = layer(
            [
                directory("usr"),
                directory("usr/local"),
                directory("usr/local/bin"),
                file("usr/local/bin/pip", PIP.encode(), 0o755),
                file("usr/local/bin/pytest", PYTEST.encode(), 0o755),
                file("version", version.encode()),
            ]
        )
        env = ["PATH=/usr/local/bin:/bin:/usr/bin:/sbin", f"PYTHON_VERSION={version}"]
        made = image([busybox_layer(), programs], env=env)
        push(made, f"{buildkitd.registry.host}/library/python:{version}-slim")


@pytest.fixture(autouse=True)
def host(buildkitd: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The recipes' clients find the daemon of the tests, and write where a test can look."""
    monkeypatch.setenv("BUILDKIT_HOST", buildkitd.address)
    monkeypatch.chdir(tmp_path)


def recipe(title: str, function: str) -> Any:
    namespace: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(RECIPES[title], f"docs/gateway.md#{title}", "exec"), namespace)
    return namespace[function]


def test_all_recipes_are_here() -> None:
    assert len(RECIPES) == PAGE.count("```python") == 6


async def test_the_beginning(tmp_path: Path) -> None:
    await recipe("Builds that decide as they go", "main")()
    assert (tmp_path / "out" / "hello").read_text().startswith("built on ")


@pytest.mark.parametrize("wanted", ["3.11", None])
async def test_decide_by_reading_a_file(pythons: None, tmp_path: Path, wanted: str | None) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "app.py").write_text("print()")
    if wanted:
        (project / ".python-version").write_text(f"{wanted}\n")
    build = recipe("Decide by reading a file", "build")
    assert await build(project, Local(tmp_path / "out")) == (wanted or "3.13")
    assert (tmp_path / "out" / "version").read_text() == (wanted or "3.13")
    assert (tmp_path / "out" / "app.py").exists()


async def test_a_matrix(pythons: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "tests.txt").write_text("fails on 3.12")
    test_all = recipe("A test matrix with live logs", "test_all")
    assert await test_all(project, ["3.11", "3.12", "3.13"]) == {"3.11": 0, "3.12": 1, "3.13": 0}
    printed = capsys.readouterr().out.splitlines()
    assert "3.12 | 1 failed" in printed
    assert "3.13 | 1 passed" in printed
    assert printed.index("3.11 | collecting 3.11") < printed.index("3.11 | 1 passed")


async def test_several_platforms(buildkitd: Any) -> None:
    path = f"recipes/{uuid.uuid4().hex[:10]}"
    publish = recipe("An image for several platforms, with attestations", "publish")
    digest = await publish(Image(f"{buildkitd.registry.host}/{path}", push=True, insecure=True))
    index = await to_thread.run_sync(pulling.manifest, buildkitd.registry.host, path, digest)
    assert len(index["manifests"]) == 4
    attached = index["manifests"][-1]
    manifest = await to_thread.run_sync(pulling.manifest, buildkitd.registry.host, path, attached["digest"])
    note = await to_thread.run_sync(
        pulling.blob, buildkitd.registry.host, path, manifest["layers"][0]["digest"]
    )
    assert note["predicate"]["size"] > 1_000_000


async def test_a_failed_step() -> None:
    why = recipe("A look into a failed step", "why")
    step = llb.image("busybox").run(f"echo half-way > /state; : {uuid.uuid4()}; exit 1")
    assert await why(step, ["cat", "/state"]) == "half-way\n"
    assert await why(llb.image("busybox").run("true"), ["true"]) == ""


def test_questions(tmp_path: Path) -> None:
    complaints = recipe("Questions to a Dockerfile", "complaints")
    (tmp_path / "Dockerfile").write_text(
        "FROM busybox AS Base\nRUN --mount=type=secret,id=token,required true\n"
    )
    found = complaints(str(tmp_path))
    assert found == ["StageNameCasing: Stage name 'Base' should be lowercase", "needs the secret token"]
    (tmp_path / "Dockerfile").write_text("FROM busybox\nRUNN true\n")
    assert "RUNN" in complaints(str(tmp_path))[0]

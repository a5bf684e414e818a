"""The code of ``docs/frontends.md``, each block run as it is printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from pybuildkit import AsyncClient, llb
from pybuildkit.errors import ExecError, FrontendError
from pybuildkit.frontend import Inputs
from pybuildkit.fsutil import MemoryTree
from pybuildkit.testing import open_frontend, run_frontend
from pybuildkit.testing.images import busybox_layer, directory, file, image, layer
from pybuildkit.testing.push import push
from pybuildkit.testing.registry import Registry
from pybuildkit.testing.service import BuildkitdService

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "frontends.md").read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]+)\n(?:(?!^## ).)*?```python\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))

INSTALL = b"""#!/bin/sh
for package; do test "$package" != none || { echo "no $package" >&2; exit 4; }; echo "$package" >> /installed; done
ls /context > /seen
"""


def block(title: str, name: str) -> Any:
    namespace: dict[str, Any] = {"__name__": "page"}
    exec(compile(BLOCKS[title], f"docs/frontends.md#{title}", "exec"), namespace)
    return namespace[name]


@pytest.fixture(autouse=True)
def host(buildkitd: BuildkitdService, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's clients find the daemon of the tests."""
    monkeypatch.setenv("BUILDKIT_HOST", buildkitd.address)


@pytest.fixture(scope="module")
def base(registry: Registry) -> str:
    name = f"{registry.host}/page/base:1"
    push(
        image([busybox_layer(), layer([directory("bin"), file("bin/install-packages", INSTALL, 0o755)])]),
        name,
    )
    return name


def test_all_blocks_are_here() -> None:
    assert len(BLOCKS) == PAGE.count("```python") == 4


async def test_ten_lines_tried_out(tmp_path: Path) -> None:
    hello = block("A frontend in ten lines", "hello")
    try_out = block("Try it without an image", "try_out")
    assert await try_out(hello, str(tmp_path / "out")) == b"Hello you\n"
    assert (tmp_path / "out/hello").read_text() == "Hello world\n"


async def test_a_file_its_lines_and_an_image(buildkit: AsyncClient, base: str) -> None:
    tools = block("A file, its lines, and an image", "tools")
    text = f'base = "{base}"\npackages = ["make", "git"]\n'
    tree = MemoryTree({"tools.toml": text.encode(), "other": b"x", ".dockerignore": b"tools.toml\n"})
    async with open_frontend(tools, buildkit, context=tree, labels={"a": "b"}) as run:
        assert await run.result.ref.read_file("/installed") == b"make\ngit\n"
        assert await run.result.ref.read_file("/seen") == b"other\n"
        config = run.result.config()
        assert config is not None
        assert (config["config"]["Cmd"], config["config"]["Labels"]) == (["sh"], {"a": "b"})


async def test_the_errors_are_those_that_the_page_shows(buildkit: AsyncClient, base: str) -> None:
    tools = block("A file, its lines, and an image", "tools")
    shown = re.search(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert shown is not None
    text = b"# syntax=registry.example/tools:1\npackages = []"
    with pytest.raises(FrontendError) as caught:
        await run_frontend(tools, buildkit, context=MemoryTree({"tools.toml": text}))
    assert caught.value.source is not None
    expected = f"{caught.value.source.render()}\nerror: failed to solve: {caught.value.message}\n"
    assert expected == shown[1]
    failing = f'base = "{base}"\n\npackages = ["none"]\n'.encode()
    with pytest.raises(ExecError) as failed:
        await run_frontend(tools, buildkit, context=MemoryTree({"tools.toml": failing}))
    assert failed.value.source is not None
    assert failed.value.source.line == 3


async def test_a_command_where_a_step_failed() -> None:
    look = block("A shell in the step that failed", "look")
    step = llb.image("busybox").run("echo half > /result; exit 2")
    assert await look(step, ["cat", "/result"]) == b"half\n"
    assert await look(llb.image("busybox").run("true"), ["cat", "/result"]) == b""


async def test_every_name_of_the_table_is_real() -> None:
    table = re.search(r"\| on `Inputs` .*?\n\n", PAGE, re.DOTALL)
    assert table is not None
    for cell in re.findall(r"^\| (`.+?`) \|", table[0], re.MULTILINE):
        for name in re.findall(r"`(\w+)", cell):
            assert name == "request" or hasattr(Inputs, name), name


async def test_the_commands_flags_are_real() -> None:
    from pybuildkit.cli.arguments import parse_arguments

    flags = ["--before", "--on-error", "--command", "cat config.log", "--target", "test"]
    found = await to_thread.run_sync(parse_arguments, ["debug", "shell", ".", *flags])
    assert (found.before, found.on_error, found.line) == (True, True, "cat config.log")

"""A step that fails shows the Python line that made it, as a Dockerfile's shows its own."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import anyio
import pytest

from pybuildkit import AsyncClient, llb
from pybuildkit.errors import BuildError, ExecError, SecretNotFound

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


def load(script: Path, text: str) -> dict[str, Any]:
    """Write a Python file, run it, and give its variables."""
    script.write_text(textwrap.dedent(text))
    variables: dict[str, Any] = {}
    exec(compile(script.read_text(), str(script), "exec"), variables)
    return variables


async def test_a_failing_run_shows_its_python_line(buildkit: AsyncClient, tmp_path: Path) -> None:
    """C54, L83, T3: digests must be the daemon's own, or it finds no place."""
    script = tmp_path / "build.py"
    found = load(
        script,
        """\
        from pybuildkit import llb

        base = llb.image("busybox")
        good = base.run("echo fine > /x")
        bad = (
            good.env(A="1")
            .run("echo the reason; exit 9")
            .run("echo never")
        )
        """,
    )
    with pytest.raises(ExecError) as caught:
        await buildkit.solve(found["bad"])
    error = caught.value
    assert (error.exit_code, error.argv[-1]) == (9, "echo the reason; exit 9")
    assert error.source is not None
    assert (error.source.filename, error.source.line) == (str(script), 7)
    shown = str(error)
    assert "the reason" in shown
    assert f"{script}:7" in shown
    assert '  7 | >>>     .run("echo the reason; exit 9")' in shown
    assert '  8 |         .run("echo never")' in shown


async def test_every_line_of_a_call_is_marked(buildkit: AsyncClient, tmp_path: Path) -> None:
    found = load(
        tmp_path / "build.py",
        """\
        from pybuildkit import llb

        def check(state, word):
            return state.run(
                ["false", word],
            )

        bad = check(llb.image("busybox"), "a").run("echo never")
        """,
    )
    with pytest.raises(ExecError) as caught:
        await buildkit.solve(found["bad"])
    marked = [line.split("|")[0].strip() for line in str(caught.value).splitlines() if "| >>>" in line]
    assert marked == ["4", "5", "6"]


async def test_the_same_through_a_definition_in_a_file(buildkit: AsyncClient, tmp_path: Path) -> None:
    """L89: places go along with the bytes."""
    text = "from pybuildkit import llb\nencoded = llb.image('busybox').run('exit 3').marshal().to_bytes()\n"
    found = await anyio.to_thread.run_sync(load, tmp_path / "build.py", text)
    with pytest.raises(ExecError, match=r"build\.py:2"):
        await buildkit.solve(found["encoded"])


async def test_places_can_be_left_out(buildkit: AsyncClient) -> None:
    made = await anyio.to_thread.run_sync(
        lambda: llb.image("busybox").run("exit 5").marshal(source_map=False)
    )
    with pytest.raises(ExecError) as caught:
        await buildkit.solve(made)
    assert caught.value.source is None


async def test_other_failures_have_places_too(buildkit: AsyncClient, tmp_path: Path) -> None:
    """A source, a file action, a missing secret."""
    found = load(
        tmp_path / "build.py",
        """\
        from pybuildkit import llb

        image = llb.image("busybox:no-such-tag")
        files = llb.scratch().copy(llb.scratch(), "/nothing", "/")
        secret = llb.image("busybox").run("true", secrets=["none-of-that-name"])
        """,
    )
    for name, line, kind in [
        ("image", 3, BuildError),
        ("files", 4, BuildError),
        ("secret", 5, SecretNotFound),
    ]:
        with pytest.raises(kind, match=rf"build\.py:{line}"):
            await buildkit.solve(found[name])


async def test_a_frontend_s_places_are_shown_instead(buildkit: AsyncClient) -> None:
    """L83: what a frontend says of its own input."""
    recipe = llb.SourceMap("recipe.txt", b"boil\nburn\nserve\n", "Text")
    state = llb.image("busybox").run("exit 2", location=recipe.location(2))
    with pytest.raises(ExecError) as caught:
        await buildkit.solve(state)
    assert "recipe.txt:2" in str(caught.value)
    assert "  2 | >>> burn" in str(caught.value)

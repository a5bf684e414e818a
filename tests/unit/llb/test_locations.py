"""Where ops come from: Python lines, and what frontends say (L83, L88)."""

from __future__ import annotations

import linecache
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pybuildkit import llb
from pybuildkit.errors import DefinitionError
from pybuildkit.llb import Definition, Position, Range, SourceMap


def places(definition: Definition, digest: str = "") -> list[tuple[str, int, int]]:
    return [
        (location.source.filename, r.start.line, r.end.line)
        for location in definition.locations(digest or definition.head)
        for r in location.ranges
    ]


def run_script(tmp_path: Path, text: str) -> dict[str, Any]:
    """Run a script and give its variables."""
    script = tmp_path / "build.py"
    script.write_text(textwrap.dedent(text))
    variables: dict[str, Any] = {"__name__": "build"}
    exec(compile(script.read_text(), str(script), "exec"), variables)
    return variables


def test_every_op_remembers_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a chain, each call's own lines, to the last line of its arguments."""
    monkeypatch.chdir(tmp_path)
    found = run_script(
        tmp_path,
        """\
        from pybuildkit import llb

        def compile(state, *flags):
            return state.run(
                ["make", *flags],
                mounts={"/src": llb.local(".")},
            )

        state = (
            llb.image("gcc")
            .env(A="1")
            .run("one")
            .pipe(compile, "-j4")
            .copy(llb.scratch(), "/a", "/b")
        )
        """,
    )
    made = found["state"].marshal()
    lines = {places(made, digest)[0] for digest in made.digests[:-1]}
    assert lines == {
        ("build.py", 10, 10), ("build.py", 12, 12), ("build.py", 6, 6), ("build.py", 4, 7), ("build.py", 14, 14),
    }  # fmt: skip
    assert made.locations(made.digests[-1]) == ()
    (info,) = made.files
    assert (info.filename, info.language) == ("build.py", "Python")


def test_only_lines_that_errors_show_are_sent(tmp_path: Path) -> None:
    """Numbers must fit, so other lines are there and empty; what is behind the last one is not."""
    body = "from pybuildkit import llb\n" + "".join(f"x{i} = {i}  # secret\n" for i in range(2, 200))
    found = run_script(tmp_path, body + "state = llb.image('a').run('x')\n" + "y = 1\n" * 100)
    (info,) = found["state"].marshal().files
    assert info.filename == str(tmp_path / "build.py")
    lines = info.data.decode().split("\n")
    assert lines[199] == "state = llb.image('a').run('x')"
    assert (lines[0], lines[193], lines[194], len(lines)) == ("", "", "x195 = 195  # secret", 205)


def test_lines_can_be_turned_off(tmp_path: Path) -> None:
    """For one definition, or for the process; ops are the same."""
    state = llb.image("a").run(["x"])
    on, off = state.marshal(), state.marshal(source_map=False)
    assert places(on)
    assert not places(off)
    assert off.files == ()
    assert on.digests == off.digests
    before = llb.set_frame_capture(False)
    try:
        assert before is True
        assert not places(llb.image("a").run(["x"]).marshal())
    finally:
        llb.set_frame_capture(True)


def test_a_file_that_is_gone_has_no_lines_to_show() -> None:
    variables: dict[str, Any] = {"llb": llb}
    exec(compile("\nstate = llb.image('a')\n", "<made up>", "exec"), variables)
    made = variables["state"].marshal()
    assert places(made) == [("<made up>", 2, 2)]
    assert made.files[0].data == b""


def test_lines_of_an_interactive_session() -> None:
    """What notebooks put into linecache is found."""
    text = "x = 1\nstate = llb.image('a')\n"
    linecache.cache["<cell>"] = (len(text), None, text.splitlines(keepends=True), "<cell>")
    variables: dict[str, Any] = {"llb": llb}
    exec(compile(text, "<cell>", "exec"), variables)
    assert variables["state"].marshal().files[0].data == b"x = 1\nstate = llb.image('a')"
    del linecache.cache["<cell>"]


def test_two_lines_that_make_the_same_op_are_both_known() -> None:
    one = llb.image("a")
    two = llb.image("a")
    made = llb.merge(one, two).marshal()
    lines = [first for _, first, _ in places(made, made.digests[0])]
    assert lines[1] == lines[0] + 1
    looped = llb.merge(*(llb.image("a") for _ in range(5))).marshal()
    assert len(places(looped, looped.digests[0])) == 1


def test_explicit_locations_replace_the_python_line() -> None:
    """L83."""
    dockerfile = SourceMap("Dockerfile", b"FROM a\nRUN b\n", "Dockerfile")
    state = llb.image("a", location=dockerfile.location(1)).run(
        ["b"], location=dockerfile.location((2, 3), 5)
    )
    made = state.marshal()
    assert places(made) == [("Dockerfile", 2, 3), ("Dockerfile", 5, 5)]
    assert [(info.filename, info.data, info.language) for info in made.files] == [
        ("Dockerfile", b"FROM a\nRUN b\n", "Dockerfile")
    ]


def test_equal_source_maps_are_one_file() -> None:
    """§3.7 item 7: by name, language, content and graph."""
    same = [SourceMap("f", b"x", "L") for _ in range(2)]
    context = llb.local(name="ctx", session="s")
    others = [SourceMap("f", b"y", "L"), SourceMap("f", b"x", "M"), SourceMap("f", b"x", "L", context)]
    state = llb.merge(
        *(llb.image(f"i{n}", location=m.location(n + 1)) for n, m in enumerate([*same, *others]))
    )
    made = state.marshal(source_map=False)
    assert len(made.files) == 4
    assert places(made, made.digests[1]) == [("f", 2, 2)]


def test_nested_definitions() -> None:
    """L88: the graph that yields the file, marshalled like the graph itself, or given."""
    context = llb.local(name="ctx")
    given = context.marshal(unique_id="u", source_map=False)
    state = llb.image(
        "a",
        location=[SourceMap("f", b"", "", context).location(1), SourceMap("g", b"", "", given).location(1)],
    )
    made = state.marshal(unique_id="u", platform="linux/arm64")
    assert [info.definition for info in made.files] == [given.to_bytes(), given.to_bytes()]
    (first, _) = made.locations(made.head)
    assert first.source.definition == given


def test_ranges() -> None:
    source = SourceMap("f")
    exact = Range(Position(1, 2), Position(3, 4))
    made = llb.image("a", location=source.location(exact)).marshal()
    assert made.locations(made.head)[0].ranges == (exact,)
    for bad in (0, (3, 2), "1", (1, 2, 3), Range(Position(-1), Position(1))):
        with pytest.raises(DefinitionError, match="line"):
            source.location(bad)  # type: ignore[arg-type]
    for wrong in (source, 1, [1], []):
        with pytest.raises(DefinitionError, match=r"SourceMap\(...\).location"):
            llb.image("a", location=wrong)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="belongs to one op"):
        llb.image("a").marshal(location=source.location(1))
    with pytest.raises(DefinitionError, match="give bytes"):
        SourceMap("f", "text")  # type: ignore[arg-type]


def test_long_scripts_are_looked_up_in_one_pass(tmp_path: Path) -> None:
    """A line is not searched from the start of the script for every op."""
    lines = "".join(f"state = state.mkdir('/d{i}')\n" for i in range(3000))
    found = run_script(tmp_path, "from pybuildkit import llb\nstate = llb.scratch()\n" + lines)
    made = found["state"].marshal()
    assert places(made) == [(str(tmp_path / "build.py"), 3002, 3002)]
    assert places(made, made.digests[0]) == [(str(tmp_path / "build.py"), 3, 3)]

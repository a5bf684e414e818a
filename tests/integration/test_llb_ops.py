"""Every kind of op, solved on a real daemon, and what it made read back."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path

import anyio
import pytest

from pybuildkit import AsyncClient, llb
from pybuildkit.errors import BuildError, EntitlementError, ExecError, SecretNotFound
from pybuildkit.events import VertexCompleted
from pybuildkit.fsutil import MemoryTree
from tests.support.graphs import solve, texts

pytestmark = [pytest.mark.anyio, pytest.mark.integration]


def base() -> llb.State:
    return llb.image("busybox")


def out(command: str, state: llb.State | None = None, **options: object) -> llb.State:
    """What a command writes to /out."""
    mounts = {"/out": llb.scratch(), **options.pop("mounts", {})}  # type: ignore[dict-item]
    return (state or base()).run(command, mounts=mounts, **options)["/out"]  # type: ignore[arg-type]


async def test_settings_reach_the_command(buildkit: AsyncClient) -> None:
    """L22, L24 to L29, L50."""
    state = (
        base()
        .env(A="1", B="2")
        .env(A="3")
        .dir("/tmp/w")
        .user("1000:50")
        .hostname("box")
        .extra_host("far.test", "10.1.2.3")
        .ulimit("nofile", 77, 88)
    )
    made = state.run(
        "echo $A $B $C $(pwd) $(id -u):$(id -g) $(hostname) $(ulimit -n) > /out/w/x; grep far.test /etc/hosts >> /out/w/x",
        env={"C": "4"},
        mounts={"/out": llb.scratch().mkdir("/w", chown=1000)},
    )["/out"]
    first, second = (await texts(buildkit, made))["w/x"].splitlines()
    assert first == "3 2 4 /tmp/w 1000:50 box 77"
    assert second.split() == ["10.1.2.3", "far.test"]


async def test_mounts(buildkit: AsyncClient) -> None:
    """L46, L53 to L55: selected, read-only, in memory, thrown away, read back."""
    source = llb.scratch().mkdir("/a/b", parents=True).mkfile("/a/b/f", "from source")
    run = base().run(
        "cat /sel/f > /out/sel; touch /ro/x 2> /dev/null || echo read-only > /out/ro; df -k /mem | tail -1 > /out/mem;"
        "echo lost > /tmp/none/x; echo more >> /two/f; cat /two/f > /out/two; echo root > /made",
        mounts={
            "/out": llb.scratch(),
            "/sel": source.mount(selector="/a/b"),
            "/ro": source.mount(readonly=True),
            "/mem": llb.tmpfs(8 << 20),
            "/tmp/none": llb.scratch().mount(output=False),
            "/two": llb.scratch().mkfile("/f", "start\n"),
        },
    )
    found = await texts(buildkit, run["/out"])
    assert (found["sel"], found["ro"], found["two"]) == ("from source", "read-only\n", "start\nmore\n")
    assert found["mem"].split()[1] == "8192"
    assert await texts(buildkit, run["/two"]) == {"f": "start\nmore\n"}
    assert await texts(buildkit, llb.scratch().copy(run, "/made", "/")) == {"made": "root\n"}


async def test_read_only_root(buildkit: AsyncClient) -> None:
    """L52."""
    made = base().run(
        "touch /x 2> /dev/null || echo no > /out/x", mounts={"/out": llb.scratch()}, readonly_root=True
    )["/out"]
    assert await texts(buildkit, made) == {"x": "no\n"}


async def test_exit_codes_and_proxies(buildkit: AsyncClient) -> None:
    """L50, L52."""
    made = out(
        "echo $HTTP_PROXY $http_proxy > /out/x; exit 3",
        valid_exit_codes=[3],
        proxy=llb.ProxyEnv(http_proxy="p"),
    )
    assert await texts(buildkit, made) == {"x": "p p\n"}
    with pytest.raises(ExecError) as caught:
        await buildkit.solve(base().run("exit 0", valid_exit_codes=[3]))
    assert caught.value.exit_code == 0


async def test_networks_and_security(buildkit: AsyncClient) -> None:
    """L28, L59."""
    count = "ls /sys/class/net | wc -l > /out/x"
    assert (await texts(buildkit, out(count, network="none")))["x"].strip() == "1"
    with pytest.raises(EntitlementError):
        await buildkit.solve(out(count, network="host"))
    host = await texts(buildkit, out(count, network="host"), entitlements=["network.host"])
    assert int(host["x"]) >= 1
    # The bounding set is larger outside of the sandbox.
    caps = "grep CapEff /proc/self/status > /out/x"
    sandbox = (await texts(buildkit, out(caps)))["x"]
    insecure = await texts(buildkit, out(caps, security="insecure"), entitlements=["security.insecure"])
    assert int(insecure["x"].split()[1], 16) > int(sandbox.split()[1], 16)


async def test_secrets(buildkit: AsyncClient) -> None:
    """L47."""
    made = out(
        "cat /f > /out/file; stat -c '%a %u %g' /f >> /out/file; cat /run/secrets/two > /out/two; echo $T > /out/env;"
        "test -e /none || echo none > /out/none",
        mounts={
            "/f": llb.secret("one", mode=0o440, uid=5, gid=6),
            "/none": llb.secret("missing", optional=True),
        },
        secrets=["two"],
        env={"T": llb.secret("three")},
    )
    given = {"one": b"1\n", "two": b"2", "three": b"3"}
    found = await texts(buildkit, made, secrets=given)
    assert found == {"file": "1\n440 5 6\n", "two": "2", "env": "3\n", "none": "none\n"}
    with pytest.raises(SecretNotFound) as caught:
        await buildkit.solve(out(f"echo {uuid.uuid4()}", secrets=["absent"]))
    assert caught.value.id == "absent"


async def test_a_cache_is_shared_from_build_to_build(buildkit: AsyncClient) -> None:
    """L46: locked, so that two steps at once do not lose each other's lines."""
    name = str(uuid.uuid4())
    cache = llb.cache(name, sharing="locked", base=llb.scratch().mkfile("/log", "base\n"))
    steps = [
        out(f"n=$(wc -l < /c/log); sleep 0.1; echo {i} >> /c/log; echo $n > /out/{i}", mounts={"/c": cache})
        for i in range(3)
    ]
    counts = await texts(buildkit, llb.merge(*steps))
    assert sorted(int(count) for count in counts.values()) == [1, 2, 3]
    again = await texts(buildkit, out("sort /c/log > /out/all", mounts={"/c": cache}), no_cache=False)
    assert again["all"].splitlines() == ["0", "1", "2", "base"]
    fresh = out("ls /c > /out/all", mounts={"/c": llb.cache(name + "-other")})
    assert (await texts(buildkit, fresh))["all"] == ""


async def test_resources_do_not_change_the_cache_key(buildkit: AsyncClient) -> None:
    """L78."""
    mark = uuid.uuid4()

    async def cached(limit: int) -> bool:
        state = base().run(f"echo {mark}", resources=llb.Resources(memory=limit), name=f"limited {mark}")
        async with buildkit.stream(state) as build:
            ends = [e async for e in build if isinstance(e, VertexCompleted) and e.name == f"limited {mark}"]
            await build.result()
        return ends[-1].cached

    assert not await cached(64 << 20)
    assert await cached(128 << 20)


async def test_file_actions(buildkit: AsyncClient) -> None:
    """L61 to L69: in one op, owners by name from the base, times, modes, links."""
    users = llb.scratch().mkfile("/etc/passwd", "app:x:77:78::/:\n").mkfile("/etc/group", "staff:x:99:\n")
    users = (
        llb.scratch()
        .mkdir("/etc")
        .copy(base(), "/etc/group", "/etc/group")
        .mkfile("/etc/passwd", "app:x:77:78::/:\n")
    )
    when = dt.datetime(2001, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    source = (
        llb.scratch().mkfile("/one.txt", "1").mkfile("/two.txt", "2").mkfile("/three.md", "3").mkdir("/empty")
    )
    state = users.dir("/srv").file(
        llb.mkdir("deep/er", 0o750, parents=True, chown="app", created_time=when)
        .mkfile("deep/f", "text", 0o604, chown=(5, 6), created_time=when)
        .symlink("deep/f", "/srv/link")
        .copy(source, "/*.txt", "copied/", create_dest_path=True)
        .copy(source, "/", "all/", contents_only=True, exclude=["*.txt"])
        .copy(source, "/one.txt", "mode", mode="u=rwx,go=", chown="app:7")
        .rm("copied/two*")
        .rm("nothing", allow_not_found=True)
        .copy(llb.mkfile("/inner", "inside").on(llb.scratch()), "/inner", "inner")
    )
    found = {path.removeprefix("srv/"): entry for path, entry in (await solve(buildkit, state)).items()}
    assert (found["deep/er"].mode, found["deep/er"].owner) == (0o750, (77, 78))
    assert (found["deep/f"].data, found["deep/f"].mode, found["deep/f"].owner) == ("text", 0o604, (5, 6))
    assert found["deep/f"].mtime == when.timestamp()
    assert (found["link"].kind, found["link"].data) == ("link", "deep/f")
    assert found["copied/one.txt"].data == "1"
    assert "copied/two.txt" not in found
    assert {path for path in found if path.startswith("all/")} == {"all/three.md", "all/empty"}
    assert (found["mode"].mode, found["mode"].owner) == (0o700, (77, 7))
    assert found["inner"].data == "inside"


async def test_copy_of_a_pattern_needs_no_flag_and_no_directory(buildkit: AsyncClient) -> None:
    """As in the first example of the documentation."""
    source = llb.scratch().mkfile("/a.whl", "a").mkfile("/b.whl", "b")
    found = await texts(buildkit, llb.scratch().copy(source, "/*.whl", "/dist/"))
    assert found == {"dist/a.whl": "a", "dist/b.whl": "b"}


async def test_unpacking(buildkit: AsyncClient) -> None:
    """L65."""
    archive = out("mkdir /d && echo x > /d/f && tar -C /d -cf /out/a.tar f")
    found = await texts(buildkit, llb.scratch().copy(archive, "/a.tar", "/into/", unpack=True))
    assert found == {"into/f": "x\n"}


async def test_merge_and_diff(buildkit: AsyncClient) -> None:
    """L10, L11: later layers win, removals go along."""
    start = llb.scratch().mkfile("/a", "a").mkfile("/b", "b")
    left = start.mkfile("/a", "left").mkfile("/l", "l")
    right = start.mkfile("/a", "right").rm("/b")
    only = llb.diff(start, left)
    assert await texts(buildkit, only) == {"a": "left", "l": "l"}
    merged = llb.merge(start, only, llb.diff(start, right))
    assert await texts(buildkit, merged) == {"a": "right", "l": "l"}
    assert await texts(buildkit, llb.merge(start, llb.diff(start, right), only)) == {"a": "left", "l": "l"}


async def test_what_is_required_is_built(buildkit: AsyncClient) -> None:
    """L12: it runs, and nothing of it is in the result."""
    mark = str(uuid.uuid4())
    state = (
        llb.scratch().mkfile("/x", mark).requires("check", base().run(f"echo {mark}", name=f"check {mark}"))
    )
    names = []
    async with buildkit.stream(state) as build:
        names = [event.name async for event in build if isinstance(event, VertexCompleted)]
        await build.result()
    assert f"check {mark}" in names
    assert await texts(buildkit, state) == {"x": mark}
    failing = llb.scratch().mkfile("/x", mark).requires("check", base().run(f"exit 4 # {mark}"))
    with pytest.raises(ExecError) as caught:
        await buildkit.solve(failing)
    assert caught.value.exit_code == 4
    through = llb.passthrough("two", [llb.scratch().mkfile("/1", mark), llb.scratch().mkfile("/2", mark)])
    assert (await texts(buildkit, through[1])).keys() == {"2"}


async def test_a_build_inside_of_a_build(buildkit: AsyncClient) -> None:
    """L13: the daemon solves a definition that a step made."""

    def inner() -> bytes:
        return llb.scratch().mkfile("/inner", "built inside").marshal(source_map=False).to_bytes()

    encoded = await anyio.to_thread.run_sync(inner)
    for name in ("buildkit.llb.definition", "other"):
        state = llb.scratch().mkfile(f"/{name}", encoded)
        built = llb.build(state, "" if name.startswith("buildkit") else name)
        assert await texts(buildkit, built) == {"inner": "built inside"}


async def test_a_definition_goes_on(buildkit: AsyncClient) -> None:
    """L14, L89."""
    first = out("echo first > /out/f")
    encoded = await anyio.to_thread.run_sync(lambda: first.marshal().to_bytes())
    state = llb.definition(encoded).mkfile("/g", "second")
    assert await texts(buildkit, state) == {"f": "first\n", "g": "second"}


async def test_local_folders(buildkit: AsyncClient, tmp_path: Path) -> None:
    """L9, L42: a folder is synced by the client that solves; patterns of one folder do not disturb each other."""
    (tmp_path / "src" / "sub").mkdir(parents=True)
    for name in ("a.py", "b.txt", "sub/c.py"):
        (tmp_path / "src" / name).write_text(name)
    (tmp_path / "src" / "link").symlink_to("sub")
    folder = tmp_path / "src"
    both = llb.scratch().copy(llb.local(folder, include=["**/*.py"]), "/", "/py/", contents_only=True)
    both = both.copy(llb.local(folder, exclude=["**/*.py", "sub"]), "/", "/rest/", contents_only=True)
    assert await texts(buildkit, both) == {
        "py/a.py": "a.py",
        "py/sub/c.py": "sub/c.py",
        "rest/b.txt": "b.txt",
    }
    (folder / "b.txt").write_text("changed!")
    assert (await texts(buildkit, both))["rest/b.txt"] == "changed!"
    followed = llb.local(folder, follow_paths=["link/c.py"])
    assert await texts(buildkit, followed) == {"sub/c.py": "sub/c.py"}
    fresh = llb.local(folder, differ="none", include=["a.py"])
    assert await texts(buildkit, fresh) == {"a.py": "a.py"}


async def test_local_trees_in_memory(buildkit: AsyncClient) -> None:
    tree = MemoryTree({"Makefile": b"all:\n", "src/main.c": b"int main;"})
    found = await texts(buildkit, llb.scratch().copy(llb.local(tree), "/", "/", contents_only=True))
    assert found == {"Makefile": "all:\n", "src/main.c": "int main;"}


async def test_two_folders_of_one_name(buildkit: AsyncClient, tmp_path: Path) -> None:
    """T19: what the daemon keeps of one is not taken for the other."""
    for side in ("left", "right"):
        (tmp_path / side / "src").mkdir(parents=True)
        (tmp_path / side / "src" / "f").write_text(side)
    sides = [llb.scratch().copy(llb.local(tmp_path / s / "src"), "/f", f"/{s}") for s in ("left", "right")]
    assert await texts(buildkit, llb.merge(*sides)) == {"left": "left", "right": "right"}


async def test_an_empty_graph_is_refused(buildkit: AsyncClient) -> None:
    """L1: there is nothing to solve, and the daemon would wait for ever (T12)."""
    with pytest.raises((BuildError, ValueError), match="empty"):
        await buildkit.solve(llb.scratch())

"""Builds that decide as they go, on a real daemon: solves, references, sources, what the daemon is told."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from pybuildkit import AsyncClient, Client, llb
from pybuildkit.details import Solve
from pybuildkit.errors import (
    BuildError,
    ConfigError,
    ExecError,
    FrontendError,
    LocalNotFound,
    NotFound,
    RPCError,
    SecretNotFound,
)
from pybuildkit.events import Event, Position, Range, SourceInfo, VertexCompleted
from pybuildkit.fsutil import MemoryTree
from pybuildkit.outputs import Local
from pybuildkit.progress import Progress
from pybuildkit.sourcepolicy import SourcePolicy
from tests.support.servers import git, make_repository, serve_files, serve_git

pytestmark = [pytest.mark.anyio, pytest.mark.integration]

BUSYBOX = llb.image("busybox")


def once(tmp_path: Path) -> str:
    """What makes a command new in each run."""
    return f": {tmp_path}; "


async def test_decide_by_a_file(buildkit: AsyncClient, tmp_path: Path) -> None:
    """T12, T15: build, read a file, decide, build on; the exporters run at the end (V65)."""

    async def flavour(word: str) -> bytes:
        out = tmp_path / word
        async with buildkit.gateway(outputs=Local(out)) as gateway:
            probe = await gateway.solve(BUSYBOX.run(f"echo {word} > /flavour"))
            found = (await probe.ref.read_file("/flavour")).decode().strip()
            body = "hot" if found == "coffee" else "cold"
            state = probe.ref.to_state().run(f"mkdir /out && echo {body} > /out/drink")
            made = await gateway.solve(llb.scratch().copy(state, "/out/drink", "/drink"))
            result = await gateway.finish(made)
            assert result.ref == gateway.ref
        return await anyio.Path(out / "drink").read_bytes()

    assert await flavour("coffee") == b"hot\n"
    assert await flavour("juice") == b"cold\n"


async def test_a_reference_goes_on_without_building_again(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V66: ``to_state`` has the ops themselves; what is built is not built again."""
    async with buildkit.gateway() as gateway:
        first = await gateway.solve(
            BUSYBOX.run(once(tmp_path) + "head -c 9 /dev/urandom > /r"), evaluate=True
        )
        content = await first.ref.read_file("/r")
        second = await gateway.solve(first.ref.to_state().run("cat /r > /r2"))
        assert await second.ref.read_file("/r2") == content
        assert first.ref.definition.digests[-2] in second.ref.definition.digests


async def test_many_solves_at_once(buildkit: AsyncClient, tmp_path: Path) -> None:
    found: dict[int, bytes] = {}

    async with buildkit.gateway() as gateway:

        async def one(number: int) -> None:
            solved = await gateway.solve(BUSYBOX.run(f"{once(tmp_path)}echo {number} > /n"))
            found[number] = await solved.ref.read_file("/n")

        async with anyio.create_task_group() as tasks:
            for number in range(12):
                tasks.start_soon(one, number)
    assert found == {number: b"%d\n" % number for number in range(12)}


async def test_files(buildkit: AsyncClient) -> None:
    """V66, V76: ranges, directories, links."""
    script = (
        "mkdir -p /d/sub && cd /d && echo hello > a.txt && echo > b.bin && ln -s a.txt link && ln -s /d abs "
        "&& chmod 750 sub && chown 3:4 a.txt && yes 0123456789 | head -c 20000000 > big"
    )
    async with buildkit.gateway() as gateway:
        ref = (await gateway.solve(BUSYBOX.run(script))).ref
        assert await ref.read_file("/d/a.txt") == b"hello\n"
        assert await ref.read_file("d/link") == b"hello\n"
        assert await ref.read_file("/d/a.txt", 1, 3) == b"ell"
        assert await ref.read_file("/d/a.txt", 4) == b"o\n"
        assert await ref.read_file("/d/a.txt", 100) == b""
        assert await ref.read_file("/d/a.txt", 0, 0) == b""
        expected = (b"0123456789\n" * 2_000_000)[:20_000_000]
        assert await ref.read_file("/d/big") == expected
        assert await ref.read_file("/d/big", 9_000_001, 9_000_000) == expected[9_000_001:18_000_001]

        entries = await ref.read_dir("/d")
        assert [entry.path for entry in entries] == ["a.txt", "abs", "b.bin", "big", "link", "sub"]
        assert [entry.path for entry in await ref.read_dir("/d", "*.txt")] == ["a.txt"]
        by_name = {entry.path: entry for entry in entries}
        assert by_name["link"].is_symlink
        assert by_name["link"].linkname == "a.txt"
        assert by_name["sub"].is_dir
        assert (by_name["a.txt"].uid, by_name["a.txt"].gid, by_name["a.txt"].size) == (3, 4, 6)
        stat = await ref.stat("/d/link")
        assert (stat.size, stat.is_regular) == (6, True)
        assert (await ref.stat("/d/sub")).mode & 0o777 == 0o750


async def test_files_that_are_not_there(buildkit: AsyncClient) -> None:
    """T13: the daemon says UNKNOWN, and names folders of its own; here it is NotFound, with the path."""
    async with buildkit.gateway() as gateway:
        ref = (await gateway.solve(BUSYBOX)).ref
        for call in (ref.read_file("/no/such"), ref.stat("/no/such"), ref.read_dir("/no/such")):
            with pytest.raises(NotFound) as caught:
                await call
            assert str(caught.value) == "NOT_FOUND: /no/such: no such file or directory"
        with pytest.raises(RPCError, match="not a regular file"):
            await ref.read_file("/bin")
        with pytest.raises(ConfigError, match="negative"):
            await ref.read_file("/bin/sh", -1)


async def test_a_failed_step_is_explained_wherever_it_comes_out(
    buildkit: AsyncClient, tmp_path: Path
) -> None:
    """C57, W6: from ``solve``, from ``evaluate``, and from a read of what was lazy; with log and source lines."""
    async with buildkit.gateway() as gateway:
        bad = BUSYBOX.run(once(tmp_path) + "echo because >&2; exit 3")
        lazy = await gateway.solve(bad)
        for call in (lazy.ref.read_file("/x"), lazy.ref.evaluate(), gateway.solve(bad, evaluate=True)):
            with pytest.raises(ExecError) as caught:
                await call
            error = caught.value
            assert error.exit_code == 3
            assert error.log.endswith("because")
            assert error.source is not None
            assert error.source.filename.endswith("test_gateway.py")
            solve = next(d for d in error.details if isinstance(d, Solve))
            assert solve.mount_ids
            assert solve.mount_ids[0]
        good = await gateway.solve(BUSYBOX.run("echo on > /f"))
        assert await good.ref.read_file("/f") == b"on\n"


async def test_scratch_has_no_reference(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway:
        empty = await gateway.solve(llb.scratch())
        assert empty.single is None
        assert empty.references == ()
        with pytest.raises(ConfigError, match="scratch"):
            _ = empty.ref


async def test_a_frontend_inside(buildkit: AsyncClient, tmp_path: Path) -> None:
    """A Dockerfile with a graph as its base, solved inside; the result has the image's configuration."""
    (tmp_path / "Dockerfile").write_text('FROM base\nRUN cat /seed > /grown\nCMD ["grow"]\n')
    locals_ = {"context": tmp_path, "dockerfile": tmp_path}
    async with buildkit.gateway(locals=locals_) as gateway:
        seed = BUSYBOX.run("echo seed > /seed")
        made = await gateway.solve(
            frontend="dockerfile.v0", attrs={"context:base": "input:base"}, inputs={"base": seed}
        )
        assert await made.ref.read_file("/grown") == b"seed\n"
        config = made.config()
        assert config is not None
        assert config["config"]["Cmd"] == ["grow"]
        assert [str(p) for p in made.platforms.values()] == [f"{config['os']}/{config['architecture']}"]
        with pytest.raises(FrontendError, match="nope"):
            await gateway.solve(
                frontend="dockerfile.v0",
                attrs={"context:base": "input:base", "target": "nope"},
                inputs={"base": seed},
            )


async def test_several_platforms_from_a_frontend(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V48: references and configurations by platform."""
    (tmp_path / "Dockerfile").write_text("FROM busybox\nARG TARGETARCH\nENV WHERE=$TARGETARCH\n")
    async with buildkit.gateway(locals={"context": tmp_path, "dockerfile": tmp_path}) as gateway:
        made = await gateway.solve(frontend="dockerfile.v0", attrs={"platform": "linux/amd64,linux/arm64"})
        assert list(made.platforms) == ["linux/amd64", "linux/arm64"]
        assert set(made.refs) == {"linux/amd64", "linux/arm64"}
        assert len(made.references) == 2
        for name in made.refs:
            config = made.config(name)
            assert config is not None
            assert f"WHERE={name.removeprefix('linux/')}" in config["config"]["Env"]
        with pytest.raises(ConfigError, match=r"linux/amd64, linux/arm64; use \.refs"):
            _ = made.ref


async def test_inputs_and_options(buildkit: AsyncClient, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("from the client")
    given = {"tree": llb.local(tmp_path)}
    async with buildkit.gateway(attrs={"mode": "fast"}, inputs=given) as gateway:
        assert gateway.options["mode"] == "fast"
        inputs = await gateway.inputs()
        assert list(inputs) == ["tree"]
        ref = (await gateway.solve(inputs["tree"])).ref
        assert await ref.read_file("f") == b"from the client"


async def test_local_directories_that_come_later(buildkit: AsyncClient, tmp_path: Path) -> None:
    """T19: what comes after the session has begun must have a name of its own."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    async with buildkit.gateway(locals={"mine": tmp_path / "one"}) as gateway:

        async def content(state: llb.State) -> bytes:
            return await (await gateway.solve(state)).ref.read_file("f")

        assert await content(llb.local(tmp_path / "one")) == b"one"
        assert await content(llb.local(tmp_path / "two")) == b"two"
        assert await content(llb.local(name="mine")) == b"one"
        assert await content(llb.local(MemoryTree({"f": b"memory"}), name="m")) == b"memory"
        with pytest.raises(ConfigError, match=r"locals=\{'named'"):
            await content(llb.local(tmp_path / "two", name="named"))
        with pytest.raises(ConfigError, match="two different ones"):
            await content(llb.local(tmp_path / "two", name="mine"))
        with pytest.raises(LocalNotFound):
            await content(llb.local(name="nowhere"))


async def test_what_changed_in_a_directory_is_seen_by_the_next_build(
    buildkit: AsyncClient, tmp_path: Path
) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    for text in ("first", "then"):
        (folder / "f").write_text(text)
        async with buildkit.gateway() as gateway:
            ref = (await gateway.solve(llb.local(folder))).ref
            assert await ref.read_file("f") == text.encode()


async def test_secrets_inside(buildkit: AsyncClient, tmp_path: Path) -> None:
    async with buildkit.gateway(secrets={"token": b"s3cret"}) as gateway:
        step = BUSYBOX.run(once(tmp_path) + "wc -c < /run/t > /n", mounts={"/run/t": llb.secret("token")})
        assert (await (await gateway.solve(step)).ref.read_file("/n")).strip() == b"6"
        with pytest.raises(SecretNotFound) as caught:
            await gateway.solve(BUSYBOX.run("true", mounts={"/t": llb.secret("other")}), evaluate=True)
        assert caught.value.id == "other"


async def test_no_cache(buildkit: AsyncClient, tmp_path: Path) -> None:
    async with buildkit.gateway() as gateway:
        step = BUSYBOX.run(once(tmp_path) + "head -c 9 /dev/urandom > /r")
        first = await (await gateway.solve(step)).ref.read_file("/r")
    async with buildkit.gateway() as gateway:
        again = await (await gateway.solve(step)).ref.read_file("/r")
        fresh = await (await gateway.solve(step, no_cache=True)).ref.read_file("/r")
    assert again == first
    assert fresh != first


async def test_resolve_image(buildkit: AsyncClient, base_image: Any) -> None:
    """X20, L17: digest and configuration for a platform, in each mode."""
    async with buildkit.gateway() as gateway:
        for mode in ("default", "pull", "local"):
            found = await gateway.resolve_image("busybox", platform="linux/arm64", resolve_mode=mode)
            assert found.ref == "docker.io/library/busybox:latest"
            assert found.digest == base_image.digest
            assert found.document()["architecture"] == "arm64"
        assert (await gateway.resolve_image("busybox", config=False)).config == b""
        with pytest.raises(BuildError, match="not found"):
            await gateway.resolve_image("no-such-image")
        with pytest.raises(ConfigError):
            await gateway.resolve_image("Not A Reference")
        with pytest.raises(ConfigError, match="resolve_mode"):
            await gateway.resolve_image("busybox", resolve_mode="sometimes")  # type: ignore[arg-type]


async def test_policies_on_what_is_resolved(buildkit: AsyncClient) -> None:
    deny = SourcePolicy.from_json(
        json.dumps({"rules": [{"action": "DENY", "selector": {"identifier": "docker-image://*busybox*"}}]})
    )
    convert = SourcePolicy.from_json(
        json.dumps(
            {
                "rules": [
                    {
                        "action": "CONVERT",
                        "selector": {"identifier": "docker-image://docker.io/library/old:latest"},
                        "updates": {"identifier": "docker-image://docker.io/library/alpine:latest"},
                    }
                ]
            }
        )
    )
    async with buildkit.gateway() as gateway:
        found = await gateway.resolve_image("old", source_policies=[convert])
        assert found.ref == "docker.io/library/alpine:latest"
        with pytest.raises(BuildError, match="denied"):
            await gateway.resolve_image("busybox", source_policies=deny)
        with pytest.raises(BuildError, match="denied"):
            await gateway.solve(BUSYBOX, source_policies=deny, evaluate=True)
    async with buildkit.gateway(source_policy=deny) as gateway:
        with pytest.raises(BuildError, match="denied"):
            await gateway.resolve_image("busybox")


async def test_resolve_git(buildkit: AsyncClient, tmp_path: Path) -> None:
    """L17: commits and tags, with their objects."""
    commit = await anyio.to_thread.run_sync(make_repository, tmp_path / "repos" / "r", {"f": "x"})
    await anyio.to_thread.run_sync(git, tmp_path / "repos" / "r", "tag", "-a", "-m", "the first", "annotated")
    with serve_git(tmp_path / "repos", tmp_path / "log") as url:
        async with buildkit.gateway() as gateway:
            found = await gateway.resolve_source(llb.git(f"{url}/r", "annotated"), git_objects=True)
            assert found.git is not None
            assert found.git.commit == commit
            assert found.git.checksum != commit
            assert found.git.ref == "refs/tags/annotated"
            assert b"\n\nfirst" in found.git.commit_object
            assert b"the first" in found.git.tag_object

            plain = await gateway.resolve_source(llb.git(f"{url}/r", "main"))
            assert plain.git is not None
            assert plain.git.checksum == commit
            assert plain.git.commit_object == b""
            assert plain.image is None
            with pytest.raises(BuildError):
                await gateway.resolve_source(llb.git(f"{url}/r", "no-such-branch"))


async def test_resolve_http(buildkit: AsyncClient) -> None:
    """L17: files with their digests, and a second one of one's own."""
    with serve_files({"/file.txt": b"content"}) as server:
        async with buildkit.gateway() as gateway:
            page = await gateway.resolve_source(
                llb.http(f"{server.url}/file.txt"), checksum=("sha512", b"salt")
            )
            assert page.http is not None
            assert page.http.digest == "sha256:" + hashlib.sha256(b"content").hexdigest()
            assert page.http.filename == "file.txt"
            assert page.http.checksum == "sha512:" + hashlib.sha512(b"contentsalt").hexdigest()
            assert page.http.suffix == b"salt"
            assert page.http.last_modified is None
            with pytest.raises(ConfigError, match="md5"):
                await gateway.resolve_source(f"{server.url}/x", checksum=("md5", b""))  # type: ignore[arg-type]
            with pytest.raises(BuildError, match="404"):
                await gateway.resolve_source(f"{server.url}/none")


async def test_what_is_no_source(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway:
        image = await gateway.resolve_source("docker-image://docker.io/library/busybox:latest")
        assert image.image is not None
        for bad in ("busybox", BUSYBOX.run("true"), llb.local("."), llb.scratch()):
            with pytest.raises(ConfigError):
                await gateway.resolve_source(bad)


async def test_warnings(buildkit: AsyncClient) -> None:
    """V69: they are in the build's progress, with the lines that they are about."""
    info = SourceInfo("service.yaml", b"a: 1\nb: 2\n", "yaml")
    lines = Range(Position(2, 0), Position(2, 4))
    async with buildkit.gateway() as gateway:
        state = BUSYBOX.run("true")
        definition = await anyio.to_thread.run_sync(state.marshal)
        await gateway.solve(state)
        await gateway.warn(
            "b is old",
            vertex=definition.head,
            detail=["use c", "soon"],
            url="https://example.test/b",
            source=info,
            ranges=[lines],
        )
        result = await gateway.finish()
    (warning,) = result.warnings
    assert warning.short == "b is old"
    assert warning.vertex == definition.head
    assert warning.detail == ("use c", "soon")
    assert warning.url == "https://example.test/b"
    assert warning.source is not None
    assert (warning.source.filename, warning.source.data) == ("service.yaml", info.data)
    assert warning.ranges == (lines,)


async def test_progress(buildkit: AsyncClient, tmp_path: Path) -> None:
    """One progress for all solves of a build."""
    seen = Progress()
    names: list[Event] = []
    async with buildkit.gateway(progress=lambda batch: names.extend(seen.feed(batch))) as gateway:
        for word in ("one", "two"):
            await gateway.solve(BUSYBOX.run(f"{once(tmp_path)}echo {word}"), evaluate=True)
    ended = [event.name for event in names if isinstance(event, VertexCompleted)]
    assert any("echo one" in name for name in ended)
    assert any("echo two" in name for name in ended)
    with pytest.raises(ConfigError, match="progress mode"):
        async with buildkit.gateway(progress="fancy"):  # type: ignore[arg-type]
            pass


async def test_progress_is_shown(
    buildkit: AsyncClient, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    async with buildkit.gateway(progress="plain") as gateway:
        await gateway.solve(BUSYBOX.run(once(tmp_path) + "echo shown"), evaluate=True)
    assert "echo shown" in capsys.readouterr().err


async def test_what_the_daemon_says_of_itself(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway:
        assert "gateway.exec" in gateway.caps
        assert "exec.meta.base" in gateway.llb_caps
        (worker,) = await buildkit.workers()
        assert gateway.workers[0].id == worker.id
        assert gateway.session
        assert not gateway.returned


async def test_caches_are_imported_by_every_solve(buildkit: AsyncClient, tmp_path: Path) -> None:
    """V63: what a gateway build imports, its graphs and its frontends do."""
    cache = tmp_path / "cache"
    step = BUSYBOX.run(once(tmp_path) + "head -c 9 /dev/urandom > /r")
    await buildkit.solve(step, cache_to=f"type=local,dest={cache}")
    async with buildkit.gateway(cache_from=f"type=local,src={cache}") as gateway:
        solved = await gateway.solve(step)
        await solved.ref.evaluate()
        imported = [v for v in gateway.progress.vertices if "importing cache manifest" in v.name]
        assert imported
    (tmp_path / "Dockerfile").write_text(f"FROM busybox\nRUN {once(tmp_path)} echo > /x\n")
    locals_ = {"context": tmp_path, "dockerfile": tmp_path}
    async with buildkit.gateway(cache_from=f"type=local,src={cache}", locals=locals_) as gateway:
        await (await gateway.solve(frontend="dockerfile.v0")).ref.evaluate()
        assert [v for v in gateway.progress.vertices if "importing cache manifest" in v.name]


async def test_graphs_that_can_not_work(buildkit: AsyncClient) -> None:
    async with buildkit.gateway() as gateway:
        with pytest.raises(ConfigError, match="does not go with frontend"):
            await gateway.solve(BUSYBOX, frontend="dockerfile.v0")
        with pytest.raises(ConfigError, match="give a graph"):
            await gateway.solve()
        with pytest.raises(ConfigError, match="give a graph"):
            await gateway.solve(BUSYBOX, attrs={"a": "b"})
        with pytest.raises(ConfigError, match="can not be int"):
            await gateway.solve(5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="each solve"):
        async with buildkit.gateway(no_cache=True):
            pass
    with pytest.raises(TypeError, match="outptus"):
        async with buildkit.gateway(outptus="x"):  # type: ignore[call-arg]
            pass


def test_the_blocking_twin(buildkit_client: Client, tmp_path: Path) -> None:
    with buildkit_client.gateway(outputs=Local(tmp_path / "out"), attrs={"k": "v"}) as gateway:
        assert gateway.options == {"k": "v"}
        assert "gateway.exec" in gateway.caps
        assert gateway.workers
        solved = gateway.solve(BUSYBOX.run("echo hi > /f && ln -s f /l"))
        ref = solved.ref
        ref.evaluate()
        assert ref.read_file("/l", 1) == b"i\n"
        assert [entry.path for entry in ref.read_dir("/", "f")] == ["f"]
        assert ref.stat("/f").size == 3
        assert gateway.resolve_image("busybox").digest
        assert gateway.resolve_source("docker-image://docker.io/library/busybox:latest").image
        assert gateway.inputs() == {}
        gateway.warn("careful")
        made = gateway.solve(llb.scratch().copy(ref.to_state(), "/f", "/g"))
        result = gateway.finish(made)
        assert gateway.returned
    assert result.ref == gateway.ref
    assert [warning.short for warning in result.warnings] == ["careful"]
    assert (tmp_path / "out" / "g").read_text() == "hi\n"
    with pytest.raises(ExecError), buildkit_client.gateway() as gateway:
        gateway.solve(BUSYBOX.run("exit 4"), evaluate=True)


async def test_in_a_shared_session(buildkit: AsyncClient, tmp_path: Path) -> None:
    """S18: what the session has, and what comes later besides."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    async with (
        buildkit.session(locals={"mine": tmp_path / "one"}, secrets={"t": b"s3cret"}) as session,
        buildkit.gateway(session=session) as gateway,
    ):
        assert await (await gateway.solve(llb.local(name="mine"))).ref.read_file("f") == b"one"
        assert await (await gateway.solve(llb.local(tmp_path / "two"))).ref.read_file("f") == b"two"
        async with gateway.container(BUSYBOX) as container:
            done = await container.run(["sh", "-c", "echo $T"], secret_env={"T": "t"})
            assert done.stdout == b"s3cret\n"


async def test_outputs_that_are_chosen_late(buildkit: AsyncClient, tmp_path: Path) -> None:
    """The exporters are asked for when the result is there, also for a gateway build."""

    def choose(*_: object) -> Local:
        return Local(tmp_path / "out")

    async with buildkit.gateway(late_outputs=choose) as gateway:
        await gateway.finish(await gateway.solve(llb.scratch().mkfile("/f", data=b"x")))
    assert (tmp_path / "out" / "f").read_text() == "x"
    with pytest.raises(ConfigError, match=r"finish\(\)"):
        async with buildkit.gateway(late_outputs=choose):
            pass

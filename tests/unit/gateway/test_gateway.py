"""The gateway against a channel in memory: what is sent for each call, and what is not."""

from __future__ import annotations

import pytest

from pybuildkit import llb
from pybuildkit._pb import gateway_pb2 as pb
from pybuildkit.control.solve import CacheEntry
from pybuildkit.errors import ConfigError, DefinitionError, NotFound, RPCError, Unsupported
from pybuildkit.gateway import Gateway, Reference, ResultMount
from pybuildkit.gateway.mounts import as_mount, encode_mount
from pybuildkit.gateway.sources import source_parts
from tests.unit.gateway.channels import FakeGateway, bridge_to, pong

pytestmark = pytest.mark.anyio

SOLVED = pb.SolveResponse(result=pb.Result(ref=pb.Ref(id="r1"))).SerializeToString()


async def gateway(channel: FakeGateway, **options: object) -> Gateway:
    bridge = await bridge_to(channel)
    bridge.llb_caps = type(bridge.llb_caps)(llb.KNOWN_CAPABILITIES)
    return Gateway(bridge, **options)  # type: ignore[arg-type]


async def test_a_frontends_gateway_has_no_directories() -> None:
    """In a container only the client's can be named."""
    channel = FakeGateway({"Solve": SOLVED})
    inside = await gateway(channel)
    await inside.solve(llb.local(name="context"))
    with pytest.raises(ConfigError, match="no directories to offer"):
        await inside.solve(llb.local("."))
    assert len(channel.requests("Solve")) == 1


async def test_images_are_looked_up_through_it() -> None:
    meta = pb.ResolveSourceMetaResponse()
    meta.Source.identifier = "docker-image://docker.io/library/busybox:latest"
    meta.Image.Digest = "sha256:" + "a" * 64
    meta.Image.Config = b'{"os":"linux","architecture":"amd64","config":{"WorkingDir":"/w"}}'
    channel = FakeGateway({"Solve": SOLVED, "ResolveSourceMeta": meta.SerializeToString()})
    inside = await gateway(channel)
    await inside.solve(llb.image("busybox", resolve=True).run("pwd"))
    request = pb.SolveRequest.FromString(channel.requests("Solve")[0])
    assert any(b"/w" in op for op in getattr(request.Definition, "def"))
    await inside.solve(llb.image("busybox"))
    assert len(channel.requests("ResolveSourceMeta")) == 1


async def test_cache_imports_go_where_they_are_read() -> None:
    """V63: to the daemon with a graph, to a frontend as an attribute that it may have been given already."""
    channel = FakeGateway({"Solve": SOLVED})
    inside = await gateway(channel, cache_imports=(CacheEntry("registry", {"ref": "a"}),))
    await inside.solve(llb.image("x"), cache_imports=[CacheEntry("local", {"src": "b"})])
    await inside.solve(frontend="f", attrs={"k": "v"}, no_cache=True)
    await inside.solve(frontend="f", attrs={"cache-imports": "own"})
    graph, made, own = (pb.SolveRequest.FromString(request) for request in channel.requests("Solve"))
    assert [entry.Type for entry in graph.CacheImports] == ["registry", "local"]
    assert not graph.FrontendOpt
    assert dict(made.FrontendOpt) == {
        "k": "v",
        "cache-imports": '[{"Type":"registry","Attrs":{"ref":"a"}}]',
        "no-cache": "",
    }
    assert not made.CacheImports
    assert own.FrontendOpt["cache-imports"] == "own"


async def test_without_evaluation_in_solve_it_is_asked_for_behind_it() -> None:
    channel = FakeGateway({"Ping": pong("solve.base", "statfile"), "Solve": SOLVED, "StatFile": b""})
    inside = await gateway(channel)
    await inside.solve(llb.image("x"), evaluate=True)
    assert [name for name, _ in channel.asked] == ["Ping", "Solve", "StatFile"]
    assert pb.StatFileRequest.FromString(channel.requests("StatFile")[0]).Path == "/"


async def test_graphs_that_the_daemon_can_not_run() -> None:
    channel = FakeGateway({"Solve": SOLVED})
    inside = await gateway(channel)
    inside._bridge.llb_caps = type(inside.llb_caps)(["source.image", "constraints", "platform"])
    await inside.solve(llb.image("x"))
    with pytest.raises(Unsupported) as caught:
        await inside.solve(llb.image("x").run("true"))
    assert caught.value.capability.startswith("exec.")
    assert len(channel.requests("Solve")) == 1


async def test_capabilities_that_this_library_has_no_name_for_are_the_daemons_business() -> None:
    """A newer frontend's graph goes on when the daemon has what it needs."""
    graph = llb.image("x").marshal(source_map=False)
    needs = {digest: m.with_caps(frozenset({"from.the.future"})) for digest, m in graph.metadata.items()}
    graph = llb.Definition(graph.ops, graph.digests, {d: m.encode() for d, m in needs.items()})
    channel = FakeGateway({"Solve": SOLVED})
    inside = await gateway(channel)
    with pytest.raises(Unsupported, match=r"from\.the\.future"):
        await inside.solve(graph)
    inside._bridge.llb_caps = type(inside.llb_caps)(["from.the.future", *llb.KNOWN_CAPABILITIES])
    await inside.solve(graph)


async def test_reading_in_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """V76: a file is fetched in pieces until one is not full."""
    monkeypatch.setattr("pybuildkit.gateway.reference.CHUNK", 4)
    content = b"0123456789"

    async def read(request: bytes) -> bytes:
        asked = pb.ReadFileRequest.FromString(request)
        start, size = asked.Range.Offset, asked.Range.Length
        return pb.ReadFileResponse(Data=content[start : start + size]).SerializeToString()

    channel = FakeGateway({"ReadFile": read})
    ref = Reference(await bridge_to(channel), "r", b"")
    for offset, length, calls in (
        (0, None, 3),
        (2, None, 3),
        (0, 4, 1),
        (1, 6, 2),
        (0, 0, 0),
        (9, 5, 1),
        (8, 2, 1),
    ):
        before = len(channel.asked)
        end = None if length is None else offset + length
        assert await ref.read_file("/f", offset, length) == content[offset:end]
        assert len(channel.asked) - before == calls, (offset, length)


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("UNKNOWN", "lstat /daemon/own/path/f: no such file or directory", NotFound),
        ("UNKNOWN", "it is no such file or directory, but another trouble", RPCError),
        ("INTERNAL", "open /f: no such file or directory", RPCError),
    ],
)
async def test_missing_files(code: str, message: str, kind: type[RPCError]) -> None:
    channel = FakeGateway({"StatFile": RPCError(message, code=code)})
    ref = Reference(await bridge_to(channel), "r", b"")
    with pytest.raises(RPCError) as caught:
        await ref.stat("/f")
    assert type(caught.value) is kind
    if kind is NotFound:
        assert str(caught.value) == "NOT_FOUND: /f: no such file or directory"


async def test_references_without_a_graph() -> None:
    bridge = await bridge_to(FakeGateway({"Ping": pong("solve.base")}))
    with pytest.raises(Unsupported, match=r"reference\.output"):
        Reference(bridge, "r", b"").to_state()
    bridge = await bridge_to(FakeGateway())
    with pytest.raises(DefinitionError):
        Reference(bridge, "r", b"\xff").to_state()


def test_mounts() -> None:
    """V70: as the daemon reads them."""

    def found(target: str, mount: object) -> pb.NewContainerRequest:
        mounted = encode_mount(target, as_mount(target, mount))
        request = pb.NewContainerRequest()
        request.Mounts.add().MergeFromString(mounted.body)
        return request

    one = found("/x", ResultMount("id", readonly=True, selector="/sub")).Mounts[0]
    assert (one.dest, one.resultID, one.readonly, one.selector, one.mountType) == (
        "/x",
        "id",
        True,
        "/sub",
        0,
    )
    cache = found("/c", llb.cache("c", sharing="private", selector="/s", readonly=True)).Mounts[0]
    assert (cache.mountType, cache.cacheOpt.ID, cache.cacheOpt.sharing, cache.selector, cache.readonly) == (
        3,
        "c",
        1,
        "/s",
        True,
    )
    assert found("/t", llb.tmpfs()).Mounts[0].mountType == 4
    secret = found("/s", llb.secret("s", uid=1, gid=2, mode=0o440, optional=True)).Mounts[0]
    option = secret.secretOpt
    assert (secret.mountType, option.ID, option.uid, option.gid, option.mode, option.optional) == (
        1,
        "s",
        1,
        2,
        0o440,
        True,
    )
    agent = found("/a", llb.ssh("a")).Mounts[0]
    assert (agent.mountType, agent.SSHOpt.ID, agent.SSHOpt.mode) == (2, "a", 0o600)


async def test_the_state_of_a_mount_is_solved_and_scratch_is_not() -> None:
    channel = FakeGateway({"Solve": SOLVED, "NewContainer": b"", "ReleaseContainer": b""})
    inside = await gateway(channel)
    mounts = {
        "/": llb.image("x"),
        "/e": llb.scratch(),
        "/r": llb.image("x").mount(readonly=True, selector="/s"),
    }
    async with inside.container(
        mounts, hostname="h", network="none", platform="linux/arm64", constraints="a==b"
    ):
        pass
    request = pb.NewContainerRequest.FromString(channel.requests("NewContainer")[0])
    assert [(m.dest, m.resultID, m.readonly, m.selector) for m in request.Mounts] == [
        ("/", "r1", False, ""),
        ("/e", "", False, ""),
        ("/r", "r1", True, "/s"),
    ]
    assert (request.hostname, request.Network, request.platform.Architecture) == ("h", 2, "arm64")
    assert list(request.constraints.filter) == ["a==b"]
    released = pb.ReleaseContainerRequest.FromString(channel.requests("ReleaseContainer")[0])
    assert released.ContainerID == request.ContainerID
    assert len(channel.requests("Solve")) == 2


async def test_a_container_is_released_whatever_happens() -> None:
    for trouble in (RPCError("exit code: 1", code="UNKNOWN"), b""):
        channel = FakeGateway({"NewContainer": b"", "ReleaseContainer": trouble})
        inside = await gateway(channel)
        with pytest.raises(KeyError):
            async with inside.container(ResultMount("r")):
                raise KeyError
        assert len(channel.requests("ReleaseContainer")) == 1
        async with inside.container(ResultMount("r")):
            pass
        assert len(channel.requests("ReleaseContainer")) == 2


def test_what_is_a_source() -> None:
    image = llb.image("busybox", platform="linux/arm64", resolve_mode="pull")
    identifier, attrs, platform = source_parts(image)
    assert identifier == "docker-image://docker.io/library/busybox:latest"
    assert attrs == {"image.resolvemode": "pull"}
    assert str(platform) == "linux/arm64"
    pinned, _, _ = source_parts(llb.image("busybox", pin=True))
    assert pinned == identifier
    assert source_parts("https://x/y")[:2] == ("https://x/y", {})
    for bad in ("x", llb.scratch(), llb.local("."), image.run("true"), 5):
        with pytest.raises(ConfigError):
            source_parts(bad)  # type: ignore[arg-type]

"""The main file and its lines, base images, and results for platforms; contexts: ``test_go_vectors``."""

from __future__ import annotations

import json

import anyio
import grpc
import pytest

from pybuildkit import llb
from pybuildkit._pb import gateway_pb2
from pybuildkit.errors import BuildError, ConfigError, FrontendError
from pybuildkit.events import Position, Range
from pybuildkit.frontend import Gateway, GatewayResult, Inputs, image_config
from pybuildkit.llb import Definition
from pybuildkit.platforms import Platform
from tests.support.fakebridge import FakeBridge, solves

pytestmark = pytest.mark.anyio

YAML = b"base: python\npip:\n  - flask\n"

DIGEST = "sha256:" + "a" * 64
CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["A=1"], "WorkingDir": "/srv", "User": "app"},
}


def resolved(request: bytes) -> bytes:
    asked = gateway_pb2.ResolveSourceMetaRequest.FromString(request)
    image = gateway_pb2.ResolveSourceImageResponse(Digest=DIGEST, Config=json.dumps(CONFIG).encode())
    return gateway_pb2.ResolveSourceMetaResponse(Source=asked.Source, Image=image).SerializeToString()


async def test_lines_of_the_main_file_are_blamed_and_shown() -> None:
    """C54: the excerpt is the one that buildctl prints."""
    bridge = FakeBridge(files={"service.yaml": YAML})
    main = await Inputs(await bridge.gateway()).main_file("service.yaml", language="YAML")
    assert (main.filename, main.text, main.language) == ("service.yaml", YAML.decode(), "YAML")
    error = main.error("flask is not allowed", 3)
    assert isinstance(error, FrontendError)
    assert error.source is not None
    assert error.source.line == 3
    assert " 3 | >>>   - flask" in str(error)
    assert main.location((1, 2), 3).ranges == (
        Range(Position(1), Position(2)),
        Range(Position(3), Position(3)),
    )


async def test_a_file_that_is_not_text_is_an_error_at_its_line() -> None:
    bridge = FakeBridge(files={"service.yaml": b"a: 1\nb: \xff\n"})
    main = await Inputs(await bridge.gateway()).main_file("service.yaml")
    with pytest.raises(
        FrontendError, match=r"service.yaml is not UTF-8: invalid start byte in line 2"
    ) as caught:
        _ = main.text
    assert caught.value.source is not None
    assert caught.value.source.line == 2


async def test_a_byte_order_mark_is_no_text() -> None:
    bridge = FakeBridge(files={"service.yaml": b"\xef\xbb\xbfa: 1\n"})
    assert (await Inputs(await bridge.gateway()).main_file("service.yaml")).text == "a: 1\n"


async def test_a_missing_main_file_says_how_to_name_one() -> None:
    with pytest.raises(FrontendError, match=r"failed to read service.yaml: .*filename="):
        await Inputs(await FakeBridge().gateway()).main_file("service.yaml")


async def test_warnings_name_the_file_and_hang_on_its_vertex() -> None:
    bridge = FakeBridge(files={"service.yaml": YAML})
    main = await Inputs(await bridge.gateway()).main_file("service.yaml", language="YAML")
    await main.warn("pin it", 3, detail=["flask==3"], url="https://example.com/pin")
    [request] = [request for name, request in bridge.calls if name == "Warn"]
    asked = gateway_pb2.WarnRequest.FromString(request)
    graph = Definition.from_bytes(solves(bridge)[0].Definition.SerializeToString())
    assert asked.digest == graph.head
    assert (asked.short, list(asked.detail), asked.url, asked.level) == (
        b"pin it",
        [b"flask==3"],
        "https://example.com/pin",
        1,
    )
    assert (asked.info.filename, asked.info.data, asked.info.language) == ("service.yaml", YAML, "YAML")
    assert [(r.start.line, r.end.line) for r in asked.ranges] == [(3, 3)]


async def test_a_step_that_comes_from_a_line_carries_it() -> None:
    bridge = FakeBridge(files={"service.yaml": YAML})
    main = await Inputs(await bridge.gateway()).main_file("service.yaml", language="YAML")
    state = llb.image("alpine").run("pip install flask", location=main.location(3))
    definition = await anyio.to_thread.run_sync(state.marshal)
    [file] = [file for file in definition.files if file.filename == "service.yaml"]
    assert file.data == YAML
    assert file.definition, "where the file is from"


@pytest.mark.parametrize("name", ["service.yaml.dockerignore", ".dockerignore"])
async def test_the_ignore_file_of_the_main_file_comes_before_that_of_the_context(name: str) -> None:
    bridge = FakeBridge(files={"service.yaml": YAML, ".dockerignore": b"context's\n", name: b"# x\n/own/\n"})
    inputs = Inputs(await bridge.gateway())
    await inputs.main_file("service.yaml")
    assert await inputs.ignored() == ("own",)
    assert await inputs.ignored() == ("own",)
    assert len(solves(bridge)) == (1 if name.startswith("service") else 2), "each file is read once"


async def test_a_base_image_is_pinned_and_its_configuration_taken() -> None:
    bridge = FakeBridge({"ResolveSourceMeta": resolved})
    inputs = Inputs(await bridge.gateway({"image-resolve-mode": "pull"}))
    base = await inputs.image("python:3-slim")
    assert (base.config, base.digest) == (CONFIG, DIGEST)
    config = base.state.config()
    assert (config.env, config.dir, config.user) == ({"A": "1"}, "/srv", "app")
    definition = await anyio.to_thread.run_sync(base.state.marshal)
    assert f"docker-image://docker.io/library/python:3-slim@{DIGEST}".encode() in definition.ops[0]
    [request] = [request for name, request in bridge.calls if name == "ResolveSourceMeta"]
    assert gateway_pb2.ResolveSourceMetaRequest.FromString(request).ResolveMode == "pull"


async def test_a_named_context_takes_the_place_of_an_image() -> None:
    bridge = FakeBridge({"ResolveSourceMeta": resolved})
    inputs = Inputs(await bridge.gateway({"context:python:3-slim": "docker-image://busybox"}))
    base = await inputs.image("docker.io/library/python:3-slim")
    definition = await anyio.to_thread.run_sync(base.state.marshal)
    assert b"docker.io/library/busybox:latest" in definition.ops[0]
    assert (await inputs.named_context("other")) is None
    assert (await inputs.image("scratch")).state.output is None


async def test_a_policy_that_leads_from_one_context_to_the_next_is_given_up() -> None:
    """V56: ten steps."""

    def other(request: bytes) -> bytes:
        asked = gateway_pb2.ResolveSourceMetaRequest.FromString(request)
        return gateway_pb2.ResolveSourceMetaResponse(Source=asked.Source).SerializeToString()

    bridge = FakeBridge({"ResolveSourceMeta": other})
    inputs = Inputs(await bridge.gateway({"context:base": "docker-image://busybox"}))
    with pytest.raises(ConfigError, match="leads from one to the next without end"):
        await inputs.named_context("base")
    assert len([name for name, _ in bridge.calls if name == "ResolveSourceMeta"]) == 11


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("plain", r"'plain' says no kind, as docker-image://plain"),
        ("what://ever", r"'what://ever' is not known; write docker-image://"),
        ("input:two", r"no input 'two', only none at all"),
        ("oci-layout://store", r"has no name, or no digest"),
        ("docker-image://A B", r"must be in lower case"),
    ],
)
async def test_a_named_context_that_can_not_be_says_why(source: str, message: str) -> None:
    inputs = Inputs(await FakeBridge().gateway({"context:base": source}))
    with pytest.raises(ConfigError, match=message):
        await inputs.named_context("base")


# --- results ----------------------------------------------------------------------------------------------


async def build(gateway: Gateway, inputs: Inputs) -> GatewayResult:
    async def one(platform: Platform) -> tuple[llb.State, dict[str, object]]:
        return llb.scratch().mkfile("/arch", str(platform)), image_config(platform)

    return await inputs.each_platform(one)


async def test_one_platform_gives_one_image() -> None:
    gateway = await FakeBridge().gateway()
    result = await build(gateway, Inputs(gateway))
    assert result.single is not None
    assert not result.refs
    assert list(result.platforms) == ["linux/amd64"]


async def test_several_platforms_give_an_index_with_a_configuration_for_each() -> None:
    gateway = await FakeBridge().gateway({"platform": "linux/arm64,linux/amd64"})
    result = await build(gateway, Inputs(gateway))
    assert list(result.refs) == ["linux/arm64", "linux/amd64"]
    for name in result.refs:
        config = result.config(name)
        assert config is not None
        assert f"linux/{config['architecture']}" == name


async def test_an_index_of_one_platform_when_it_is_asked_for() -> None:
    gateway = await FakeBridge().gateway({"platform": "linux/arm64", "multi-platform": "true"})
    assert list((await build(gateway, Inputs(gateway))).refs) == ["linux/arm64"]


async def test_a_platform_that_fails_cancels_the_others() -> None:
    bridge = FakeBridge({"Solve": (grpc.StatusCode.UNKNOWN, "no space left on device")})
    gateway = await bridge.gateway({"platform": "linux/arm64,linux/amd64"})
    with pytest.raises(BuildError, match="no space left"):
        await build(gateway, Inputs(gateway))


async def test_what_was_asked_for_is_applied_to_steps() -> None:
    options = {
        "force-network-mode": "none",
        "hostname": "h",
        "add-hosts": "a=1.2.3.4",
        "ulimit": "nofile=5:9",
        "cgroup-parent": "/x",
        "memory": "1024",
        "shm-size": "4096",
        "build-arg:HTTP_PROXY": "http://proxy",
        "build-arg:no_proxy": "here",
    }
    request = Inputs(await FakeBridge().gateway(options)).request
    state = request.applied(llb.image("alpine"))
    config = state.config()
    assert (config.network, config.hostname, config.cgroup_parent) == ("none", "h", "/x")
    assert config.extra_hosts == (("a", "1.2.3.4"),)
    assert config.ulimits == (("nofile", 5, 9),)
    definition = await anyio.to_thread.run_sync(state.run("true", **request.run_options).marshal)
    step = definition.metadata[definition.head]
    assert step.resources is not None
    assert step.resources.memory == 1024
    assert b"/dev/shm" in definition.ops[-2]
    assert request.proxy is not None
    assert (request.proxy.http_proxy, request.proxy.no_proxy) == ("http://proxy", "here")
    assert Inputs(await FakeBridge().gateway()).request.run_options == {}

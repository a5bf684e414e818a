"""Images whose configuration is looked up, and states made when a graph is marshalled (L16, L19, L32)."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from pybuildkit import llb
from pybuildkit.errors import DefinitionError
from pybuildkit.llb import ImageQuery, ResolvedImage, StaticImages
from pybuildkit.platforms import Platform
from tests.unit.llb.reading import marshal, op, ops, what

D = "sha256:" + "c" * 64
CONFIG = {
    "os": "linux",
    "architecture": "arm64",
    "config": {"Env": ["A=image", "P=/bin"], "WorkingDir": "/w", "User": "u"},
}
IMAGES = StaticImages({"app": CONFIG})


def test_settings_of_the_image_are_under_those_of_the_state() -> None:
    """L32."""
    state = llb.image("app", resolve=True).env(A="own", B="b").dir("sub")
    assert state.config(resolver=IMAGES).env == {"P": "/bin", "A": "own", "B": "b"}
    run = state.run(["x"], env={"C": "c"}, cwd="deep").mkdir("here").copy(state, "f", "t")
    made = ops(run, resolver=IMAGES)
    assert made[1]["Op"]["exec"]["meta"] == {
        "args": ["x"], "env": ["P=/bin", "A=own", "B=b", "C=c"], "cwd": "/w/sub/deep", "user": "u",
        "removeMountStubsRecursive": True,
    }  # fmt: skip
    assert made[1]["platform"]["Architecture"] == "arm64"
    assert made[2]["Op"]["file"]["actions"][0]["Action"]["mkdir"]["path"] == "/w/sub/here"
    copied = made[3]["Op"]["file"]["actions"][0]["Action"]["copy"]
    assert (copied["src"], copied["dest"]) == ("/w/sub/f", "/w/sub/t")


def test_the_user_can_be_left_out_as_go_does() -> None:
    """L21."""
    run = llb.image("app", resolve=True, user=False).run(["x"])
    assert "user" not in what(run, resolver=IMAGES)["meta"]


def test_the_source_is_the_same_op_as_without() -> None:
    assert (
        marshal(llb.image("app", resolve=True), resolver=IMAGES).digests == marshal(llb.image("app")).digests
    )


def test_no_resolver_says_what_to_do() -> None:
    state = llb.image("app", resolve=True).run(["x"])
    with pytest.raises(
        DefinitionError, match="library/app:latest was made with resolve=True: solve it with a client"
    ):
        marshal(state)
    with pytest.raises(DefinitionError, match="resolver"):
        state.config()


class Recorder:
    """A resolver that remembers what it was asked."""

    def __init__(self, answer: ResolvedImage) -> None:
        self.asked: list[ImageQuery] = []
        self.answer = answer

    def resolve(self, query: ImageQuery, /) -> ResolvedImage:
        self.asked.append(query)
        return self.answer


def test_what_is_asked() -> None:
    """L32, X20: the platform of the image, else the marshal's; the resolve mode is told."""
    resolver = Recorder(ResolvedImage(b"{}"))
    marshal(llb.image("a:1", resolve=True, resolve_mode="pull").run(["x"]), resolver=resolver)
    marshal(llb.image("a:1", resolver=resolver, platform="linux/arm/v7").run(["x"]))
    assert resolver.asked == [
        ImageQuery("docker.io/library/a:1", Platform("linux", "amd64"), "pull"),
        ImageQuery("docker.io/library/a:1", Platform("linux", "arm", "v7"), "default"),
    ]


def test_an_image_is_asked_for_once_in_a_marshal() -> None:
    """L19."""
    resolver = Recorder(ResolvedImage(b"{}"))
    state = llb.image("a", resolve=True)
    for i in range(5):
        state = state.env({f"K{i}": "v"}).run(["x"])
    marshal(state, resolver=resolver)
    assert len(resolver.asked) == 1


def test_pinning() -> None:
    """L32: the tag stays in front of the digest; a reference with a digest is not changed."""
    resolver = Recorder(ResolvedImage(b'{"config":{"Env":["A=1"]}}', D, "docker.io/mirror/a:2"))
    run = llb.image("a", pin=True, resolve_mode="local").run(["x"])
    made = ops(run, resolver=resolver)
    assert made[0]["Op"]["source"] == {
        "identifier": f"docker-image://docker.io/mirror/a:2@{D}", "attrs": {"image.resolvemode": "local"},
    }  # fmt: skip
    assert made[1]["Op"]["exec"]["meta"]["env"] == ["A=1"]
    given = llb.image(f"a@{D}", pin=True)
    assert (
        ops(given, resolver=resolver)[0]["Op"]["source"]["identifier"]
        == f"docker-image://docker.io/library/a@{D}"
    )
    merged = llb.merge(llb.image("a", pin=True), llb.image("a", pin=True))
    assert what(merged, resolver=resolver) == {"inputs": [{}, {"input": 1}]}


def test_a_known_configuration_needs_no_resolver() -> None:
    state = llb.image("app", config=CONFIG)
    assert (state.config().user, state.config().dir) == ("u", "/w")


def test_static_images() -> None:
    per_platform = StaticImages(
        {("a", "linux/amd64"): b"{}", ("a", "linux/arm64/v8"): '{"config":{}}', "b": ResolvedImage(b"{}")}
    )
    assert per_platform.resolve(ImageQuery("docker.io/library/a:latest", Platform("linux", "arm64"))).config
    assert (
        per_platform.resolve(ImageQuery("docker.io/library/b:latest", Platform("linux", "s390x"))).config
        == b"{}"
    )
    with pytest.raises(DefinitionError, match="library/a:latest for linux/s390x is not known"):
        per_platform.resolve(ImageQuery("docker.io/library/a:latest", Platform("linux", "s390x")))
    with pytest.raises(DefinitionError, match="BAD"):
        StaticImages({"BAD REF": b"{}"})


class Waiting:
    """A resolver that only answers when all are asked."""

    def __init__(self, together: int) -> None:
        self.together = together
        self.asked = 0
        self.all = anyio.Event()

    async def resolve(self, query: ImageQuery, /) -> ResolvedImage:
        self.asked += 1
        if self.asked >= self.together:
            self.all.set()
        await self.all.wait()
        return ResolvedImage(f'{{"config":{{"Env":["REF={query.ref}"]}}}}'.encode(), D)


async def test_marshal_async_asks_for_all_at_once() -> None:
    images = [llb.image(name, resolve=True, pin=name == "c") for name in ("a", "b", "c")]
    state = llb.merge(*(image.run(["x"]) for image in images))
    with anyio.fail_after(20):
        made = await state.marshal_async(Waiting(3), platform="linux/amd64", source_map=False)
    assert made.to_json().count("REF=docker.io/library/") == 3


async def test_marshal_async_follows_what_turns_up() -> None:
    """A deferred state can bring images of its own; an image of its own resolver is not asked for."""
    own = llb.image("own", resolver=Recorder(ResolvedImage(b"{}")))

    def later(state: llb.State, platform: Platform) -> llb.State:
        return state.run(["x"], mounts={"/b": llb.image("b", resolve=True).run(["y"]), "/o": own.run(["z"])})

    state = llb.image("a", resolve=True).defer(later)
    waiting = Waiting(1)
    with anyio.fail_after(20):
        made = await state.marshal_async(waiting, source_map=False)
    assert waiting.asked == 2
    assert made.to_json().count("REF=") == 2


async def test_marshal_async_of_scratch() -> None:
    assert (await llb.scratch().marshal_async(Waiting(1))).ops == ()


def test_deferred_states() -> None:
    """L19: made once in each marshal, with its platform."""
    calls: list[str] = []

    def make(state: llb.State, platform: Platform) -> llb.State:
        calls.append(platform.architecture)
        return state.env(ARCH=platform.architecture).mkdir("/made")

    deferred = llb.image("a").defer(make)
    run = deferred.env(B="1").run(["x"], mounts={"/m": deferred, "/n": deferred.mkdir("/y")})
    meta = what(run)["meta"]
    assert meta["env"] == ["ARCH=amd64", "B=1"]
    assert calls == ["amd64"]
    assert what(run, platform="linux/arm64")["meta"]["env"][0] == "ARCH=arm64"
    assert calls == ["amd64", "arm64"]
    assert len(op(run)["inputs"]) == 2
    assert "known when marshalled" in repr(deferred)


def test_deferred_states_can_turn_out_empty() -> None:
    empty = llb.image("a").defer(lambda state, platform: llb.scratch())
    assert marshal(empty).ops == ()
    run = llb.image("b").run(["x"], mounts={"/m": empty, "/n": llb.image("c")})
    assert [mount.get("input", 0) for mount in what(run)["mounts"]] == [0, -1, 1]
    assert what(empty.mkdir("/a"))["actions"][0]["input"] == -1
    assert what(llb.diff(llb.image("a"), empty))["upper"] == {"input": -1}
    for broken in (llb.merge(llb.image("a"), empty), llb.image("a").requires("id", empty), llb.build(empty)):
        with pytest.raises(DefinitionError, match="empty"):
            marshal(broken)


def test_a_deferred_state_can_not_need_itself() -> None:
    """Cyclic use is only possible here, as states are made before what uses them."""
    box: list[llb.State] = []
    files = llb.image("a").defer(lambda state, platform: box[0].mkdir("/x"))
    box.append(files)
    with pytest.raises(DefinitionError, match="needs its own result"):
        marshal(files)
    settings = llb.image("a").defer(lambda state, platform: state.reset(box[1]))
    box.append(settings)
    with pytest.raises(DefinitionError, match="needs its own result"):
        marshal(settings.run(["x"]))


@pytest.mark.parametrize("result", [None, 1, "x"])
def test_a_deferred_function_must_give_a_state(result: Any) -> None:
    with pytest.raises(DefinitionError, match="must give a State"):
        marshal(llb.image("a").defer(lambda state, platform: result))
    with pytest.raises(DefinitionError, match="give a function"):
        llb.image("a").defer(result)


def test_errors_of_a_resolver_pass_through() -> None:
    class Failing:
        def resolve(self, query: ImageQuery, /) -> ResolvedImage:
            raise PermissionError(query.ref)

    with pytest.raises(PermissionError, match="library/a"):
        marshal(llb.image("a", resolve=True).run(["x"]), resolver=Failing())

"""States as values: settings and what goes on from them (L18 to L30, L91)."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from pybuildkit import llb
from pybuildkit.errors import DefinitionError
from pybuildkit.platforms import Platform
from tests.unit.llb.reading import caps, marshal, metadata, op, ops, what


def meta(state: llb.State) -> dict[str, Any]:
    return what(state.run(["x"]))["meta"]  # type: ignore[no-any-return]


def test_states_never_change() -> None:
    """L18: every method gives a new state; attributes can not be set."""
    first = llb.image("busybox").env(A="1")
    second = first.env(A="2").dir("/d").user("u")
    assert first.config().env == {"A": "1"}
    assert (second.config().env, second.config().dir, second.config().user) == ({"A": "2"}, "/d", "u")
    with pytest.raises(AttributeError):
        first.output = None  # type: ignore[misc]
    with pytest.raises((AttributeError, TypeError)):
        first.other = 1  # type: ignore[attr-defined]
    assert first != llb.image("busybox").env(A="1")
    assert copy.deepcopy(second) is second
    assert copy.copy(second) is second


def test_environment_order_is_that_of_the_last_assignment() -> None:
    """L24."""
    state = llb.scratch().env({"A": "1", "B": "2"}, C="3").env(A="4").env({"x.y": "=", "EMPTY": ""})
    assert meta(state)["env"] == ["B=2", "C=3", "A=4", "x.y==", "EMPTY="]
    assert list(state.config().env.items()) == [
        ("B", "2"),
        ("C", "3"),
        ("A", "4"),
        ("x.y", "="),
        ("EMPTY", ""),
    ]
    assert list(llb.scratch().env({"A": "1"}, A="2").config().env) == ["A"]


def test_long_environments_share_what_they_can() -> None:
    """L24: branches of a long list do not see one another."""
    trunk = llb.scratch()
    for i in range(50):
        trunk = trunk.env({f"K{i % 20}": str(i)})
    branches = [trunk.env({f"B{i}": "x"}).env(K0="again") for i in range(5)]
    expected = [f"K{i % 20}={i}" for i in range(30, 50)]
    assert meta(trunk)["env"] == expected
    for i, branch in enumerate(branches):
        assert meta(branch)["env"] == [e for e in expected if not e.startswith("K0=")] + [
            f"B{i}=x",
            "K0=again",
        ]


@pytest.mark.parametrize(
    ("dirs", "result"),
    [
        (["/a"], "/a"),
        (["a", "b"], "/a/b"),
        (["/a/", "../b"], "/b"),
        (["/a//b/"], "/a//b/"),
        (["/a//b/", ""], "/a/b"),
        (["..", "."], "/"),
    ],
)
def test_directories(dirs: list[str], result: str) -> None:
    """L25: an absolute one stays as written, a relative one is joined and cleaned."""
    state = llb.scratch()
    for one in dirs:
        state = state.dir(one)
    assert state.config().dir == result
    assert meta(state)["cwd"] == result


def test_other_settings() -> None:
    """L26, L28, L29."""
    state = (
        llb.scratch()
        .user("app:app")
        .hostname("h")
        .network("none")
        .security("insecure")
        .extra_host("a", "::ffff:1.2.3.4")
        .extra_host("b", "1.1.1.1")
        .ulimit("nofile", 1, 2)
        .ulimit("nproc", 3)
        .cgroup_parent("cg")
    )
    found = meta(state)
    assert (found["user"], found["hostname"], found["cgroupParent"]) == ("app:app", "h", "cg")
    assert found["extraHosts"] == [{"Host": "a", "IP": "1.2.3.4"}, {"Host": "b", "IP": "1.1.1.1"}]
    assert found["ulimit"] == [
        {"Name": "nofile", "Soft": 1, "Hard": 2},
        {"Name": "nproc", "Soft": 3, "Hard": 3},
    ]
    config = state.config()
    assert (config.network, config.security, config.hostname) == ("none", "insecure", "h")
    assert config.ulimits == (("nofile", 1, 2), ("nproc", 3, 3))
    assert config.cgroup_parent == "cg"


def test_siblings_do_not_share_hosts() -> None:
    """L29, X21: in Go, appending to one state's list can write into its sibling's."""
    parent = llb.scratch().extra_host("a", "1.1.1.1").extra_host("b", "2.2.2.2").extra_host("c", "3.3.3.3")
    left, right = parent.extra_host("l", "4.4.4.4"), parent.extra_host("r", "5.5.5.5")
    assert [h for h, _ in left.config().extra_hosts] == ["a", "b", "c", "l"]
    assert [h for h, _ in right.config().extra_hosts] == ["a", "b", "c", "r"]


def test_platform_is_normalised() -> None:
    """L27."""
    assert str(llb.scratch().platform("linux/aarch64").config().platform) == "linux/arm64"
    assert llb.scratch().config().platform is None


@pytest.mark.parametrize(("host", "usual"), [("linux/arm64", "arm64"), ("darwin/arm64", "arm64")])
def test_the_usual_platform_is_this_machine_s(monkeypatch: pytest.MonkeyPatch, host: str, usual: str) -> None:
    """§3.7 item 1; on a Mac, Linux."""
    monkeypatch.setattr(Platform, "host", classmethod(lambda cls: Platform.parse(host)))
    (image, _) = [json.loads(line)["Op"] for line in llb.image("a").to_json().splitlines()]
    assert image["platform"] == {"Architecture": usual, "OS": "linux"}


def test_image_config() -> None:
    """L21: split at the first ``=``; Go never takes the user, here it can be left out."""
    config = b'{"os":"linux","architecture":"arm64","config":{"Env":["A=1=2","=x","B"],"WorkingDir":"w","User":"u"}}'
    state = llb.scratch().env(A="0", C="c").dir("/base").image_config(config)
    assert state.config().env == {"C": "c", "A": "1=2", "B": ""}
    assert (state.config().dir, state.config().user, str(state.config().platform)) == (
        "/base/w",
        "u",
        "linux/arm64",
    )
    assert llb.scratch().image_config(config, user=False).config().user == ""
    partial = llb.scratch().image_config({"os": "linux", "config": None})
    assert (partial.config().platform, partial.config().dir) == (None, "/")
    parsed = llb.ImageConfig.parse(config)
    assert llb.scratch().image_config(parsed).config() == llb.scratch().image_config(config).config()


@pytest.mark.parametrize(
    "config", [b"{", b"[]", b'{"config":[]}', b'{"config":{"Env":"A=1"}}', b'{"config":{"Env":[1]}}', 3]
)
def test_bad_image_config(config: Any) -> None:
    with pytest.raises(DefinitionError, match="image configuration"):
        llb.scratch().image_config(config)


def test_values_of_ones_own() -> None:
    """L19."""
    state = llb.image("a").with_value("k", 1).env(A="1")
    assert (state.value("k"), state.value("other"), state.value("other", 2)) == (1, None, 2)
    assert state.run(["x"]).value("k") == 1
    lazy = llb.scratch().defer(lambda s, _: s).with_value("k", 3).env(A="1")
    assert (lazy.value("k"), lazy.value("other", 4)) == (3, 4)


def test_defaults_are_this_states_alone() -> None:
    """L19: as in Go, they are lost on the next operation."""
    state = llb.image("a").with_defaults(platform="linux/s390x", ignore_cache=True)
    made = state.marshal(source_map=False)
    assert made.metadata[made.head].ignore_cache
    assert "s390x" in made.to_json()
    assert "arm64" in state.marshal(platform="linux/arm64").to_json()
    assert "s390x" not in state.dir("/x").marshal(platform="linux/amd64").to_json()


def test_pipe() -> None:
    """L30: functions of one's own in a chain."""

    def install(state: llb.State, *packages: str, flag: str = "") -> llb.Run:
        return state.run(["apk", "add", *filter(None, [flag]), *packages])

    run = llb.image("alpine").pipe(install, "git", "make", flag="-q")
    assert what(run)["meta"]["args"] == ["apk", "add", "-q", "git", "make"]


def test_reset() -> None:
    """L30: the files stay, the settings are another's, the directory is the root again."""
    other = llb.image("b").env(B="1").dir("/b").user("u")
    state = llb.image("a").env(A="1").dir("/a").reset(other)
    assert what(state) == what(llb.image("a"))
    assert (state.config().env, state.config().dir, state.config().user) == ({"B": "1"}, "/", "u")
    own = llb.image("a", platform="linux/arm64").reset(other.platform("linux/s390x"))
    assert (str(own.config().platform), own.config().dir) == ("linux/arm64", "/b")
    assert str(llb.image("a").reset(other.platform("linux/s390x")).config().platform) == "linux/s390x"


def test_requires() -> None:
    """L12."""
    state = llb.image("a").env(A="1").requires("id", llb.image("b"), llb.scratch())
    assert what(state) == {"id": "id", "outputs": [0]}
    assert len(op(state)["inputs"]) == 2
    assert state.config().env == {"A": "1"}
    assert caps(state) == {"passthroughop"}
    plain = llb.image("a")
    assert plain.requires("id") is plain


def test_created_time_is_the_only_time_in_a_graph() -> None:
    """L91: SOURCE_DATE_EPOCH is the frontends' business."""
    assert what(llb.scratch().mkdir("/a"))["actions"][0]["Action"]["mkdir"]["timestamp"] == -1


def test_reprs_are_short() -> None:
    state = llb.image("busybox")
    for i in range(100):
        state = state.run(f"echo {i} {'x' * 200}")
    assert len(repr(state)) < 100
    assert repr(llb.image("a").run(["make", "all"])) == "<Run make all>"
    assert repr(llb.image("a").run(["x"], mounts={"/o": llb.scratch()})["/o"]) == "<State x [1]>"
    assert repr(llb.scratch().mkdir("/a")) == "<State mkdir>"
    assert "..." in repr(llb.mkdir("/a").rm("/b").rm("/c").rm("/d").rm("/e").rm("/f"))
    assert len(repr(marshal(state))) < 60


def test_marshal_and_validate() -> None:
    """L20."""
    state = llb.image("a").run(["x"])
    assert marshal(state).head == marshal(state).digests[-2]
    state.validate()
    assert len(ops(state)) == 3
    assert metadata(state).caps == {"exec.meta.base", "exec.mount.bind"}
    assert state.to_dot().startswith("digraph {")
    assert state.to_json().count("\n") == 3

"""File actions (L61 to L73)."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from pybuildkit import llb
from tests.unit.llb.reading import caps, marshal, op, what


def base() -> llb.State:
    return llb.image("busybox")


def actions(state: llb.State) -> list[dict[str, Any]]:
    return what(state)["actions"]  # type: ignore[no-any-return]


def only(state: llb.State) -> dict[str, Any]:
    (action,) = actions(state)
    (values,) = action["Action"].values()
    return values  # type: ignore[no-any-return]


def test_mkdir() -> None:
    """L61: the time is -1 unless it is given, in nanoseconds."""
    assert only(base().mkdir("/d")) == {"path": "/d", "mode": 0o755, "timestamp": -1}
    made = base().mkdir("/d", 0o700, parents=True, chown=(1, 2), created_time=5)
    assert only(made) == {
        "path": "/d",
        "mode": 0o700,
        "makeParents": True,
        "owner": {"user": {"User": {"byId": 1}}, "group": {"User": {"byId": 2}}},
        "timestamp": 5,
    }
    when = dt.datetime(2020, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)
    assert only(base().mkdir("/d", created_time=when))["timestamp"] == 1577836800_000001_000
    assert "timestamp" not in only(base().mkdir("/d", created_time=0))


def test_mkfile() -> None:
    """L62."""
    assert only(base().mkfile("/f", b"\x00\xff", 0o600)) == {
        "path": "/f", "mode": 0o600, "data": "AP8=", "timestamp": -1,
    }  # fmt: skip
    assert only(base().mkfile("/f", "é\0"))["data"] == "w6kA"
    assert only(base().mkfile("/f")) == {"path": "/f", "mode": 0o644, "timestamp": -1}


def test_symlink_paths_are_as_written_and_its_capability_is_not_recorded() -> None:
    """L63, L72."""
    state = base().dir("/d").symlink("../a/", "b//c", chown=3)
    assert only(state) == {
        "oldpath": "../a/", "newpath": "b//c", "owner": {"user": {"User": {"byId": 3}}}, "timestamp": -1,
    }  # fmt: skip
    assert caps(state) == {"file.base"}


def test_rm() -> None:
    """L64: patterns match when there are some."""
    assert only(base().rm("/a")) == {"path": "/a"}
    assert only(base().rm("/a*")) == {"path": "/a*", "allowWildcard": True}
    assert only(base().rm("/a*", allow_wildcard=False, allow_not_found=True)) == {
        "path": "/a*",
        "allowNotFound": True,
    }


def test_copy_defaults() -> None:
    """L65: modes are kept; patterns match when there are some."""
    assert only(base().copy(base())) == {"src": "/", "dest": "/", "mode": -1, "timestamp": -1}
    assert only(base().copy(base(), "/a[1]", "/b"))["allowWildcard"]
    assert "allowWildcard" not in only(base().copy(base(), "/a[1]", "/b", allow_wildcard=False))


def test_copy_options() -> None:
    """L65, L72: none of them records a capability."""
    state = base().copy(
        base(), "/a", "/b", mode=0o4755, follow_symlinks=True, contents_only=True, include=["i"], exclude=["e", "f"],
        required_paths=["r"], unpack=True, create_dest_path=True, allow_wildcard=True, allow_empty_wildcard=True,
        replace_existing=True, chown="u:g", created_time=7,
    )  # fmt: skip
    assert only(state) == {
        "src": "/a", "dest": "/b", "mode": 0o4755, "followSymlink": True, "dirCopyContents": True,
        "attemptUnpackDockerCompatibility": True, "createDestPath": True, "allowWildcard": True,
        "allowEmptyWildcard": True, "timestamp": 7, "include_patterns": ["i"], "exclude_patterns": ["e", "f"],
        "alwaysReplaceExistingDestPaths": True, "required_paths": ["r"],
        "owner": {"user": {"User": {"byName": {"name": "u"}}}, "group": {"User": {"byName": {"name": "g"}}}},
    }  # fmt: skip
    assert caps(state) == {"file.base"}
    text_mode = only(base().copy(base(), "/a", "/b", mode="u+x"))
    assert (text_mode["modeStr"], "mode" in text_mode) == ("u+x", False)


@pytest.mark.parametrize(
    ("chown", "user", "group"),
    [
        ("root", {}, None),
        (0, {}, None),
        ("5", {"byId": 5}, None),
        ("u", {"byName": {"name": "u"}}, None),
        ("u:5", {"byName": {"name": "u"}}, {"byId": 5}),
        ("0:g", {}, {"byName": {"name": "g"}}),
        ((1, "g"), {"byId": 1}, {"byName": {"name": "g"}}),
    ],
)
def test_owners(chown: Any, user: dict[str, Any], group: dict[str, Any] | None) -> None:
    """L67: names are looked up in the base, the first input."""
    owner = only(base().mkdir("/d", chown=chown))["owner"]
    assert owner["user"] == {"User": user}
    assert owner.get("group") == (None if group is None else {"User": group})


def test_a_numeric_owner_zero_is_written() -> None:
    """L67: a member of a oneof is there even when it is zero."""
    assert b"\n\x02\x10\x00" in marshal(base().mkdir("/d", chown=0)).ops[-2]


def test_names_on_an_empty_base_have_no_input() -> None:
    """L67."""
    assert only(llb.scratch().mkdir("/d", chown="u"))["owner"]["user"] == {
        "User": {"byName": {"name": "u", "input": -1}}
    }


@pytest.mark.parametrize(
    ("path", "result"),
    [("/a/../b/", "/b"), ("a", "/w/a"), ("../..", "/"), (".", "/w"), ("/", "/"), ("//a//b", "/a/b")],
)
def test_paths_are_cleaned_and_start_at_the_directory(path: str, result: str) -> None:
    """L70."""
    assert only(base().dir("/w").mkdir(path))["path"] == result


@pytest.mark.parametrize(
    ("dest", "result"),
    [("d/", "/w/d/"), ("d/.", "/w/d/."), ("/", "/"), ("/.", "/."), (".", "/w"), ("./", "/w/"), ("", "/w")],
)
def test_a_copy_s_target_keeps_its_slash(dest: str, result: str) -> None:
    """L70."""
    assert only(base().dir("/w").copy(base(), "/a", dest))["dest"] == result


def test_a_copy_s_source_starts_at_the_source_s_directory() -> None:
    """L70."""
    assert only(base().dir("/w").copy(base().dir("/s"), "a/../b", "/"))["src"] == "/s/b"
    assert only(base().dir("/w").copy(base().dir("/s"), "/a/", "/"))["src"] == "/a"
    assert only(base().copy(base().dir("/s"), "", "/"))["src"] == "/s"
    action = llb.copy(llb.mkdir("/x").on(llb.scratch().dir("/s")), "x", "y")
    assert actions(base().dir("/w").file(action))[1]["Action"]["copy"] == {
        "src": "/s/x", "dest": "/w/y", "mode": -1, "timestamp": -1,
    }  # fmt: skip


def test_chains() -> None:
    """L68, L69: each works on the one before; only the last is an output."""
    chain = (
        llb.mkdir("/a")
        .mkfile("/a/f", b"x")
        .rm("/a/g")
        .symlink("f", "/a/l")
        .copy(llb.image("alpine"), "/b", "/c")
    )
    state = base().file(chain)
    assert [(a["input"], a["secondaryInput"], a["output"]) for a in actions(state)] == [
        (0, -1, -1), (2, -1, -1), (3, -1, -1), (4, -1, -1), (5, 1, 0),
    ]  # fmt: skip
    assert len(op(state)["inputs"]) == 2


def test_copy_from_a_result_inside_the_op() -> None:
    """L66, L69: a result used twice is made once."""
    made = llb.mkdir("/x").on(base())
    state = base().file(llb.copy(made, "/x", "/1").copy(made, "/x", "/2"))
    assert [(a["input"], a["secondaryInput"]) for a in actions(state)] == [(0, -1), (0, 1), (2, 1)]
    nested = llb.copy(llb.copy(llb.mkdir("/z").on(llb.scratch()), "/z", "/y").on(base()), "/y", "/x")
    assert [(a["input"], a["secondaryInput"]) for a in actions(llb.scratch().file(nested))] == [
        (-1, -1), (0, 1), (-1, 2),
    ]  # fmt: skip


def test_inputs_are_distinct_by_digest() -> None:
    """L69: two nodes that are the same op are one input, and later numbers follow."""
    state = base().file(llb.copy(base(), "/a", "/b").copy(llb.image("alpine"), "/c", "/d"))
    assert len(op(state)["inputs"]) == 2
    assert [(a["input"], a["secondaryInput"]) for a in actions(state)] == [(0, 0), (2, 1)]


def test_no_platform() -> None:
    """L71."""
    assert "platform" not in op(llb.image("a", platform="linux/arm64").mkdir("/d"))


def test_order_of_ops_is_from_the_last_action_backwards() -> None:
    """L73."""
    names = ["b", "c", "d"]
    chain = (
        llb.copy(llb.image("b"), "/1", "/1").copy(llb.image("c"), "/2", "/2").copy(llb.image("d"), "/3", "/3")
    )
    made = marshal(llb.image("a").file(chain))
    order = [data.rpartition(b"library/")[2][:1].decode() for data in made.ops[:4]]
    assert order == ["a", *reversed(names)]


def test_actions_can_be_shared() -> None:
    """A chain is a value: going on from it leaves it as it was."""
    start = llb.mkdir("/a")
    left, right = start.mkdir("/b"), start.rm("/c")
    assert len(actions(base().file(start))) == 1
    assert [next(iter(a["Action"])) for a in actions(base().file(left))] == ["mkdir", "mkdir"]
    assert [next(iter(a["Action"])) for a in actions(base().file(right))] == ["mkdir", "rm"]


def test_names_of_op_and_action_options_do_not_mix() -> None:
    state = base().copy(base(), "/a", "/b", chown=1, name="copying", ignore_cache=True)
    made = marshal(state)
    assert made.metadata[made.head].name == "copying"
    with pytest.raises(TypeError, match="copy has no option 'parents'"):
        base().copy(base(), "/a", "/b", parents=True)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="mkdir has no option 'platform'"):
        base().mkdir("/a", platform="linux/amd64")  # type: ignore[call-arg]

"""What is said of an op beside the op (L74 to L86)."""

from __future__ import annotations

import pytest

from pybuildkit import llb
from pybuildkit.llb import OpMetadata, ProgressGroup, Resources
from tests.unit.llb.reading import caps, marshal, metadata, op, ops


def test_options() -> None:
    """L74 to L78: none of them changes the digest."""
    plain = llb.image("a").run(["x"])
    full = llb.image("a").run(
        ["x"],
        ignore_cache=True,
        description={"k": "v"},
        name="n",
        export_cache=False,
        progress_group=ProgressGroup("id", "group", True),
        resources=Resources(
            memory=1,
            memory_swap=-1,
            cpu_shares=2,
            cpu_period=3,
            cpu_quota=-4,
            cpuset_cpus="0-3",
            cpuset_mems="0",
        ),
    )
    assert marshal(full).digests == marshal(plain).digests
    found = metadata(full)
    assert found == OpMetadata(
        ignore_cache=True,
        description={"k": "v", "llb.customname": "n"},
        export_cache=False,
        caps=frozenset({"exec.meta.base", "exec.mount.bind", "exec.meta.linux.resources"}),
        progress_group=ProgressGroup("id", "group", True),
        resources=Resources(
            memory=1,
            memory_swap=-1,
            cpu_shares=2,
            cpu_period=3,
            cpu_quota=-4,
            cpuset_cpus="0-3",
            cpuset_mems="0",
        ),
    )
    assert found.name == "n"
    assert OpMetadata.decode(found.encode()) == found
    assert metadata(llb.image("a").run(["x"], export_cache=None)).export_cache is None
    assert metadata(llb.image("a").run(["x"], export_cache=True)).export_cache is True


def test_filters() -> None:
    """L81: the marshal's come first; the field is there even when empty."""
    state = llb.image("a", require=["own"])
    assert op(state, require="base")["constraints"] == {"filter": ["base", "own"]}
    assert op(llb.image("a"))["constraints"] == {}


def test_the_last_op_says_what_the_others_need() -> None:
    """L86."""
    plain = llb.image("a")
    assert marshal(plain).metadata[marshal(plain).digests[-1]].caps == {"constraints", "platform"}
    for options, extra in [
        ({"ignore_cache": True}, "meta.ignorecache"),
        ({"name": "n"}, "meta.description"),
        ({"export_cache": False}, "meta.exportcache"),
    ]:
        made = marshal(llb.image("a", **options).run(["x"]))  # type: ignore[arg-type]
        assert made.metadata[made.digests[-1]].caps == {"constraints", "platform", extra}


def test_the_marshal_s_options_are_under_the_op_s() -> None:
    """L85: truth values add up, texts overwrite, the rest replaces."""
    state = llb.image("a", description={"k": "op"}, export_cache=True)
    made = marshal(
        state.run(["x"]), description={"k": "base", "b": "1"}, ignore_cache=True, export_cache=False,
        progress_group=ProgressGroup("g"),
    )  # fmt: skip
    image, run = (made.metadata[digest] for digest in made.digests[:2])
    assert (dict(image.description), image.export_cache) == ({"k": "op", "b": "1"}, True)
    assert (dict(run.description), run.export_cache) == ({"k": "base", "b": "1"}, False)
    assert image.ignore_cache
    assert image.progress_group == run.progress_group == ProgressGroup("g")


def test_an_op_s_description_does_not_leak_into_others() -> None:
    """L85: in Go it does, when the marshal has a description: they share a map."""
    run = llb.image("a", name="only the image").run(["x"])
    assert metadata(run, description={"k": "v"}).name == ""


def test_vertices_that_are_the_same_op_share_metadata() -> None:
    """§3.7 item 2, L85."""
    one, two = (
        llb.image("a", description={"x": "1", "y": "1"}),
        llb.image("a", description={"x": "2"}, ignore_cache=True),
    )
    made = marshal(llb.merge(one, llb.image("a"), two))
    found = made.metadata[made.digests[0]]
    assert (len(made.ops), dict(found.description), found.ignore_cache) == (3, {"x": "2", "y": "1"}, True)
    assert found.caps == {"source.image"}


def test_resources_need_a_capability_only_on_a_run() -> None:
    """L59, L78."""
    assert caps(llb.image("a", resources=Resources(memory=1))) == {"source.image"}
    run = llb.image("a").run(["x"])
    assert caps(run, resources=Resources(memory=1)) == {"exec.meta.base", "exec.mount.bind"}


def test_without_cache() -> None:
    """B24: every op of a finished definition."""
    made = marshal(llb.image("a").run(["x"], name="n"))
    fresh = made.without_cache()
    assert fresh.digests == made.digests
    assert all(fresh.metadata[digest].ignore_cache for digest in fresh.digests)
    assert fresh.metadata[fresh.head].name == "n"
    assert not made.metadata[made.head].ignore_cache


def test_unknown_options_are_refused_like_unknown_arguments() -> None:
    with pytest.raises(TypeError, match="image has no option 'nme'"):
        llb.image("a", nme="x")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="merge has no option 'platform'"):
        llb.merge(llb.image("a"), platform="linux/amd64")  # type: ignore[call-arg]


def test_ops_is_in_the_order_of_inputs() -> None:
    """§3.7 item 2: first completion."""
    made = ops(llb.merge(llb.image("a").run(["x"]), llb.image("b"), llb.image("a")))
    kinds = [next(iter(one["Op"]), "last") for one in made]
    assert kinds == ["source", "exec", "source", "merge", "last"]

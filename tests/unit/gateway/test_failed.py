"""Failed steps as the daemon describes them; what it really says is in the integration tests."""

from __future__ import annotations

from typing import Any

import pytest

from pybuildkit import llb
from pybuildkit.details import FailedVertex, Solve
from pybuildkit.errors import BuildError, ConfigError, DefinitionError
from pybuildkit.gateway.failed import SOURCE, FailedStep
from pybuildkit.gateway.mounts import FilledCache, ResultMount
from pybuildkit.llb.mounts import BindMount, CacheMount, SecretMount, SSHMount, TmpfsMount

META = {
    "args": ["/bin/bash", "-c", "make"],
    "env": ["A=1", "EMPTY="],
    "cwd": "/w",
    "user": "app",
    "hostname": "h",
    "proxyEnv": {"httpProxy": "http://p", "noProxy": "x"},
    "extraHosts": [{"Host": "a", "IP": "1.2.3.4"}],
}


def failure(op: dict[str, Any], **more: Any) -> BuildError:
    return BuildError("it failed", details=[Solve(op=op, **more)])


def test_a_command_with_every_kind_of_mount() -> None:
    mounts = [
        {"dest": "/"},
        {"dest": "/src", "readonly": True, "selector": "/sub", "input": "1"},
        {"dest": "/c", "mountType": "CACHE", "cacheOpt": {"ID": "c", "sharing": "LOCKED"}, "selector": "x"},
        {"dest": "/t", "mountType": "TMPFS", "TmpfsOpt": {"size": "99"}},
        {
            "dest": "/s",
            "mountType": "SECRET",
            "secretOpt": {"ID": "s", "uid": 5, "mode": 256, "optional": True},
        },
        {"dest": "/a", "mountType": "SSH", "SSHOpt": {"ID": "default", "mode": 384}},
        {"dest": "/empty", "input": "-1"},
        {"dest": "/f", "mountType": "CACHE", "cacheOpt": {"ID": "f", "sharing": "PRIVATE"}, "input": "2"},
    ]
    op = {
        "exec": {
            "meta": META,
            "mounts": mounts,
            "network": "HOST",
            "security": "INSECURE",
            "secretenv": [{"ID": "s", "name": "TOKEN", "optional": True}],
        }
    }
    error = failure(
        op,
        mount_ids=("after", "src", "", "", "", "", "", "filled"),
        input_ids=("before", "src", "", "", "", "", "", "filled"),
        description={"llb.customname": "make it"},
    )
    step = FailedStep.of(error)
    assert repr(step) == repr(
        FailedStep(
            name="make it",
            args=("/bin/bash", "-c", "make"),
            mounts={
                "/": ResultMount("after"),
                "/src": ResultMount("src", readonly=True, selector="/sub"),
                "/c": CacheMount("c", sharing="locked", selector="x"),
                "/t": TmpfsMount(),
                "/s": SecretMount("s", optional=True, uid=5, mode=0o400),
                "/a": SSHMount("default", mode=0o600),
                "/empty": ResultMount(""),
                "/f": FilledCache(CacheMount("f", sharing="private"), "filled"),
            },
            env={"HTTP_PROXY": "http://p", "NO_PROXY": "x", "A": "1", "EMPTY": ""},
            cwd="/w",
            user="app",
            network="host",
            security="insecure",
            hostname="h",
            extra_hosts={"a": "1.2.3.4"},
            secret_env={"TOKEN": SecretMount("s", optional=True)},
        )
    )
    assert FailedStep.of(error, before=True).mounts["/"] == ResultMount("before")
    assert step.options["secret_env"] == {"TOKEN": SecretMount("s", optional=True)}


@pytest.mark.parametrize(
    ("args", "shell"),
    [
        (["/bin/bash", "-c", "x"], ("/bin/bash",)),
        (["sh", "-c", "x"], ("sh",)),
        (["/usr/bin/zsh", "-ec", "x"], ("/usr/bin/zsh",)),
        (["/bin/true"], ("/bin/sh",)),
        (["/bin/sh"], ("/bin/sh",)),
        ([], ("/bin/sh",)),
    ],
)
def test_the_shell_is_the_one_that_ran_the_command(args: list[str], shell: tuple[str, ...]) -> None:
    assert FailedStep("x", tuple(args)).shell == shell


def test_a_step_without_results_failed_before_it_ran() -> None:
    op = {"exec": {"meta": META, "mounts": [{"dest": "/"}]}}
    with pytest.raises(ConfigError, match="'/bin/bash -c make' failed before it ran"):
        FailedStep.of(failure(op))


@pytest.mark.parametrize(
    "op",
    [
        {"exec": {"mounts": [{"dest": "/", "mountType": "NEW"}]}},
        {"exec": {"mounts": [{"dest": 5}]}},
        {"exec": {"mounts": [{"dest": "/"}], "network": "BRIDGE"}},
        {"exec": {"mounts": 7}},
        {"file": {"actions": []}},
    ],
    ids=["mount", "path", "network", "kind", "actions"],
)
def test_what_can_not_be_read_is_named(op: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="can not be read"):
        FailedStep.of(failure(op, mount_ids=("a",)))


COPY = {"secondaryInput": "1", "copy": {"src": "/a", "dest": "/b"}}
FILE: dict[str, Any] = {
    "inputs": [{"digest": "sha256:a"}, {"digest": "sha256:b"}],
    "file": {"actions": [COPY]},
}


def test_a_file_action_goes_on_from_the_action_before() -> None:
    op = {**FILE, "file": {"actions": [{"mkdir": {"path": "/d"}}, {**COPY, "input": "2"}]}}
    error = failure(op, input_ids=("base", "src"), mount_ids=("", ""), file_index=1)
    assert FailedStep.of(error).mounts == {"/": ResultMount("base"), SOURCE: ResultMount("src")}


def test_what_an_action_left_is_its_root() -> None:
    error = failure(FILE, input_ids=("base", "src"), mount_ids=("left",), file_index=0)
    assert FailedStep.of(error).mounts["/"] == ResultMount("left")
    assert FailedStep.of(error, before=True).mounts["/"] == ResultMount("base")


def test_a_file_that_is_made_of_nothing() -> None:
    op = {"file": {"actions": [{"input": "-1", "mkfile": {"path": "/x"}}]}}
    assert FailedStep.of(failure(op, file_index=0)).mounts == {"/": ResultMount("")}


def test_inputs_come_out_of_the_graph_where_the_daemon_names_none() -> None:
    base = llb.image("alpine")
    graph = base.copy(llb.local(name="context"), "/a", "/bbb").run("true").marshal()
    digests = {
        name: digest
        for digest, op in zip(graph.digests, graph.ops, strict=True)
        for name in (b"alpine", b"local://context")
        if name in op
    }
    [copy] = [digest for digest, op in zip(graph.digests, graph.ops, strict=True) if b"/bbb" in op]
    op = {**FILE, "inputs": [{"digest": digests[b"alpine"]}, {"digest": digests[b"local://context"]}]}
    error = BuildError("x", details=[Solve(op=op, input_ids=("one",), cache_index=1), FailedVertex(copy)])
    step = FailedStep.of(error, graph)
    root, source = step.mounts["/"], step.mounts[SOURCE]
    assert isinstance(root, BindMount)
    assert isinstance(source, BindMount)
    assert root.source.marshal().ops[0] == base.marshal().ops[0]
    assert list(source.source.marshal().locals) == ["context"]
    other = llb.image("busybox").marshal()
    with pytest.raises(ConfigError, match="is not in the graph that was given"):
        FailedStep.of(error, other)


def test_a_part_of_a_graph_is_what_it_needs_and_no_more() -> None:
    base = llb.image("alpine").run("one")
    whole = llb.merge(base.run("two"), llb.image("busybox"))
    graph, wanted = whole.marshal(), base.marshal()
    part = graph.part(wanted.head)
    assert part.ops == wanted.ops
    assert set(part.metadata) <= set(part.digests)
    part.validate()
    assert llb.definition(part).marshal().ops == wanted.ops
    with pytest.raises(DefinitionError, match="there is no op sha256:0"):
        graph.part("sha256:0")


def test_a_part_can_be_another_result_of_an_op() -> None:
    run = llb.image("alpine").run("x", mounts={"/out": llb.scratch()})
    graph = run.marshal()
    assert graph.part(graph.head, 1).ops == run["/out"].marshal().ops

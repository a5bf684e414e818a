"""Commands and their mounts (L22, L45 to L60)."""

from __future__ import annotations

import pytest

from pybuildkit import llb
from pybuildkit.errors import DefinitionError
from pybuildkit.llb.values import ULIMITS
from tests.unit.llb.reading import caps, marshal, op, ops, what


def base() -> llb.State:
    return llb.image("busybox")


def mounts(state: llb.State) -> dict[str, dict[str, object]]:
    return {mount.pop("dest"): mount for mount in what(state)["mounts"]}


def test_a_string_is_shell_and_a_list_is_argv() -> None:
    """L45."""
    assert what(base().run("echo $HOME"))["meta"]["args"] == ["/bin/sh", "-c", "echo $HOME"]
    assert what(base().run(["echo", "$HOME", ""]))["meta"]["args"] == ["echo", "$HOME", ""]
    assert what(base().run(("a", "b")))["meta"]["args"] == ["a", "b"]
    bash = base().run("false | true", shell=["bash", "-o", "pipefail", "-c"])
    assert what(bash)["meta"]["args"] == ["bash", "-o", "pipefail", "-c", "false | true"]
    assert what(base().run("x", shell=("/bin/sh", "-c")))["meta"]["args"] == ["/bin/sh", "-c", "x"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("a  b\tc\n", ["a", "b", "c"]),
        ("'a b' \"c d\" e\\ f", ["a b", "c d", "e f"]),
        ("a#b #c d\ne", ["a#b", "e"]),
        ("'' \"\"", ["", ""]),
        ('"a\\"b\\n" \'a\\b\'', ['a"bn', "a\\b"]),
        ("x'y'\"z\"", ["xyz"]),
        ("", []),
    ],
)
def test_shlex(line: str, words: list[str]) -> None:
    """L45: as google/shlex, which Go's ``Shlex`` uses."""
    assert llb.shlex(line) == words


@pytest.mark.parametrize("line", ["'a", '"a', "a\\", '"a\\'])
def test_shlex_says_what_go_swallows(line: str) -> None:
    """L45, X21."""
    with pytest.raises(DefinitionError, match=r"not closed|nothing follows"):
        llb.shlex(line)


def test_meta_is_always_the_same_underneath() -> None:
    """L56: ``removeMountStubsRecursive`` without a capability."""
    assert what(base().run(["x"]))["meta"] == {"args": ["x"], "cwd": "/", "removeMountStubsRecursive": True}
    assert caps(base().run(["x"])) == {"exec.meta.base", "exec.mount.bind"}
    assert caps(llb.scratch().run(["x"])) == {"exec.meta.base"}


def test_options_of_a_run_are_not_those_of_its_result() -> None:
    """L22."""
    run = base().env(A="1").run(["x"], env={"B": "2"}, cwd="/w", user="u", hostname="h", network="none")
    assert what(run)["meta"]["env"] == ["A=1", "B=2"]
    assert what(run)["network"] == 2
    after = run.run(["y"])
    assert what(after)["meta"] == {
        "args": ["y"],
        "env": ["A=1"],
        "cwd": "/",
        "removeMountStubsRecursive": True,
    }


def test_mounts_are_sorted_by_target_and_secrets_and_agents_follow() -> None:
    """L53: however they were given."""
    given = {
        "/z": base(),
        "/s2": llb.secret("two"),
        "/b": llb.tmpfs(),
        "/s1": llb.secret("one"),
        "/a": llb.cache("c"),
        "/ssh": llb.ssh("k"),
    }
    for mapping in (given, dict(reversed(given.items()))):
        targets = [mount["dest"] for mount in what(base().run(["x"], mounts=mapping))["mounts"]]
        assert targets[:4] == ["/", "/a", "/b", "/z"]
        assert set(targets[4:6]) == {"/s1", "/s2"}
        assert targets[6] == "/ssh"


def test_inputs_are_distinct_by_digest() -> None:
    """L54: two nodes that are the same op are one input, and the mounts say so."""
    one = base().run(["x"], mounts={"/a": base(), "/b": llb.image("docker.io/library/busybox:latest")})
    assert len(op(one)["inputs"]) == 1
    assert [mount.get("input", 0) for mount in what(one)["mounts"]] == [0, 0, 0]
    two = base().run(["x"], mounts={"/a": llb.image("alpine"), "/b": base(), "/c": llb.scratch()})
    assert len(op(two)["inputs"]) == 2
    assert [mount.get("input", 0) for mount in what(two)["mounts"]] == [0, 1, 0, -1]


def test_outputs_count_only_what_can_be_read_back() -> None:
    """L46, L55: read-only, cache, memory and no-output mounts have none; those of secrets are not set."""
    run = base().run(
        ["x"],
        mounts={
            "/a": llb.scratch(),
            "/b": base().mount(readonly=True),
            "/c": llb.cache("c"),
            "/d": base(),
            "/e": llb.tmpfs(),
            "/f": base().mount(output=False),
            "/g": llb.secret("s"),
        },
    )
    found = {target: mount.get("output", 0) for target, mount in mounts(run).items()}
    assert found == {"/": 0, "/a": 1, "/b": -1, "/c": -1, "/d": 2, "/e": -1, "/f": -1, "/g": 0}
    assert ops(run["/d"])[-1]["inputs"][0]["index"] == 2
    assert ops(run["/"])[-1]["inputs"][0].get("index", 0) == 0


def test_a_wrong_target_lists_the_writable_ones() -> None:
    run = base().run(
        ["x"], mounts={"/out/": llb.scratch(), "/c": llb.cache("c"), "/r": base().mount(readonly=True)}
    )
    assert ops(run["/out"])[-1]["inputs"][0]["index"] == 1
    for target, why in [
        ("/nope", "nothing is mounted at '/nope'"),
        ("/c", "at '/c' is a cache"),
        ("/r", "at '/r' is read-only"),
    ]:
        with pytest.raises(DefinitionError, match=f"{why}.*writable mounts: '/', '/out/'"):
            run[target]
    for mount, why in [(llb.tmpfs(), "in memory"), (base().mount(output=False), "output=False")]:
        with pytest.raises(DefinitionError, match=f"'/m' .*{why}"):
            base().run(["x"], mounts={"/m": mount})["/m"]


def test_a_mount_read_back_goes_on_with_the_settings_of_what_was_mounted() -> None:
    """L46: as Go's ``AddMount``."""
    source = llb.scratch().env(S="1").dir("/s").user("su")
    run = base().env(B="1").dir("/b").run(["x"], mounts={"/m": source}, platform="linux/arm/v7")
    config = run["/m"].config()
    assert (config.env, config.dir, config.user, str(config.platform)) == (
        {"S": "1"},
        "/s",
        "su",
        "linux/arm/v7",
    )
    assert run.config().env == {"B": "1"}


def test_bind_options() -> None:
    """L46."""
    run = base().run(["x"], mounts={"/m": base().mount(readonly=True, selector="/etc", content_cache="on")})
    assert mounts(run)["/m"] == {"selector": "/etc", "output": -1, "readonly": True, "contentCache": 1}
    assert caps(run) == {
        "exec.meta.base", "exec.mount.bind", "exec.mount.selector", "exec.mount.cache.content",
    }  # fmt: skip


@pytest.mark.parametrize(("sharing", "number"), [("shared", None), ("private", 1), ("locked", 2)])
def test_caches(sharing: str, number: int | None) -> None:
    """L46, L59: a cache's base is an input, and needs no bind capability."""
    cache = llb.cache("id", sharing=sharing, base=llb.image("alpine"), selector="/p", readonly=True)  # type: ignore[arg-type]
    run = llb.scratch().run(["x"], mounts={"/c": cache})
    option = {"ID": "id"} if number is None else {"ID": "id", "sharing": number}
    assert mounts(run)["/c"] == {
        "selector": "/p", "output": -1, "readonly": True, "mountType": 3, "cacheOpt": option,
    }  # fmt: skip
    assert caps(run) == {
        "exec.meta.base", "exec.mount.cache", "exec.mount.cache.sharing", "exec.mount.selector",
    }  # fmt: skip


def test_tmpfs() -> None:
    """L46, L60: its size is only said when there is one, and so is the capability."""
    run = base().run(["x"], mounts={"/t": llb.tmpfs(), "/u": llb.tmpfs(1 << 20)})
    assert mounts(run)["/t"] == {"input": -1, "output": -1, "mountType": 4, "TmpfsOpt": {}}
    assert mounts(run)["/u"]["TmpfsOpt"] == {"size": 1 << 20}
    assert {"exec.mount.tmpfs", "exec.mount.tmpfs.size"} <= caps(run)
    assert "exec.mount.tmpfs.size" not in caps(base().run(["x"], mounts={"/t": llb.tmpfs()}))


def test_secrets() -> None:
    """L47: files are readable by their owner alone, unless it is said otherwise."""
    run = base().run(
        ["x"],
        mounts={"/f": llb.secret("file", optional=True, uid=1, gid=2, mode=0o444)},
        secrets=["npmrc", "dir/name"],
        env={"T": llb.secret("tok", optional=True), "P": "plain"},
    )
    found = mounts(run)
    assert found["/f"]["secretOpt"] == {"ID": "file", "uid": 1, "gid": 2, "mode": 0o444, "optional": True}
    assert found["/run/secrets/npmrc"]["secretOpt"] == {"ID": "npmrc", "mode": 0o400}
    assert found["/run/secrets/name"]["secretOpt"] == {"ID": "dir/name", "mode": 0o400}
    assert what(run)["secretenv"] == [{"ID": "tok", "name": "T", "optional": True}]
    assert what(run)["meta"]["env"] == ["P=plain"]
    assert {"exec.mount.secret", "exec.secretenv"} <= caps(run)
    assert "exec.secretenv" not in caps(base().run(["x"], secrets=["a"]))
    # Go records the mount's capability for a variable, too.
    assert {"exec.mount.secret", "exec.secretenv"} <= caps(base().run(["x"], env={"A": llb.secret("a")}))


def test_agents() -> None:
    """L48: usual targets are numbered, and the first one is what programs look for."""
    run = base().run(["x"], ssh=["", "work", llb.ssh("k", mode=0o666, uid=7)])
    assert mounts(run)["/run/buildkit/ssh_agent.0"]["SSHOpt"] == {"mode": 0o600}
    assert mounts(run)["/run/buildkit/ssh_agent.1"]["SSHOpt"] == {"ID": "work", "mode": 0o600}
    assert mounts(run)["/run/buildkit/ssh_agent.2"]["SSHOpt"] == {"ID": "k", "uid": 7, "mode": 0o666}
    assert what(run)["meta"]["env"] == ["SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"]
    assert "exec.mount.ssh" in caps(run)
    own = base().env(SSH_AUTH_SOCK="/mine").run(["x"], mounts={"/sock": llb.ssh()})
    assert what(own)["meta"]["env"] == ["SSH_AUTH_SOCK=/mine"]
    assert what(base().run(["x"], ssh=True)) == what(base().run(["x"], ssh=[llb.ssh()]))
    assert what(base().run(["x"], ssh="work"))["mounts"][1]["SSHOpt"]["ID"] == "work"


def test_devices_exit_codes_hosts_limits_cgroup() -> None:
    """L29, L49, L50, L51, L59: no capability for hosts and cgroup, as in Go."""
    run = base().run(
        ["x"],
        devices=["v.com/c=a", llb.Device("v.com/c=b", optional=True)],
        valid_exit_codes=[0, 1, 255],
        extra_hosts={"h": "10.0.0.1", "six": "2001:DB8::0:1"},
        ulimits={"nofile": 10, "core": (0, -1)},
        cgroup_parent="cg",
    )
    assert what(run)["cdiDevices"] == [{"name": "v.com/c=a"}, {"name": "v.com/c=b", "optional": True}]
    meta = what(run)["meta"]
    assert meta["validExitCodes"] == [0, 1, 255]
    assert meta["extraHosts"] == [{"Host": "h", "IP": "10.0.0.1"}, {"Host": "six", "IP": "2001:db8::1"}]
    assert meta["ulimit"] == [{"Name": "nofile", "Soft": 10, "Hard": 10}, {"Name": "core", "Hard": -1}]
    assert meta["cgroupParent"] == "cg"
    assert caps(run) == {
        "exec.meta.base", "exec.mount.bind", "exec.meta.cdi", "exec.validexitcode", "exec.meta.ulimit",
    }  # fmt: skip
    assert caps(base().run(["x"], valid_exit_codes=[])) == {"exec.meta.base", "exec.mount.bind"}


def test_every_limit_has_a_name() -> None:
    """L51."""
    assert len(ULIMITS) == 15
    run = base().run(["x"], ulimits=dict.fromkeys(sorted(ULIMITS), 1))
    assert [limit["Name"] for limit in what(run)["meta"]["ulimit"]] == sorted(ULIMITS)


def test_network_and_security() -> None:
    """L28, L59."""
    run = base().run(["x"], network="host", security="insecure")
    assert (what(run)["network"], what(run)["security"]) == (1, 1)
    assert {"exec.meta.network", "exec.meta.security"} <= caps(run)
    sandbox = base().network("host").run(["x"], network="sandbox", security="sandbox")
    assert "network" not in what(sandbox)
    assert caps(sandbox) == {"exec.meta.base", "exec.mount.bind"}


def test_proxy_and_read_only_root() -> None:
    """L52: with a read-only root the result is the root itself; the command is reached through a mount."""
    proxied = base().run(["x"], proxy=llb.ProxyEnv(http_proxy="p", no_proxy="n"))
    assert what(proxied)["meta"]["proxy_env"] == {"http_proxy": "p", "no_proxy": "n"}
    assert "exec.meta.proxyenv" in caps(proxied)
    run = base().run(["x"], readonly_root=True, mounts={"/out": llb.scratch()})
    assert marshal(run).digests == marshal(base()).digests
    assert what(run["/out"])["mounts"][0] == {"dest": "/", "output": -1, "readonly": True}
    assert what(run["/out"])["mounts"][1] == {"input": -1, "dest": "/out"}
    with pytest.raises(DefinitionError, match=r"'/' is read-only.*writable mounts: '/out'"):
        run["/"]


def test_platform() -> None:
    """L58: the option, else the state's, else the marshal's."""
    assert op(base().run(["x"]))["platform"] == {"Architecture": "amd64", "OS": "linux"}
    assert op(base().platform("linux/arm64").run(["x"]))["platform"]["Architecture"] == "arm64"
    run = base().platform("linux/arm64").run(["x"], platform="linux/s390x")
    assert op(run)["platform"]["Architecture"] == "s390x"
    assert op(run.run(["y"]))["platform"]["Architecture"] == "s390x"


def test_default_path_when_the_daemon_does_not_set_one() -> None:
    """L57, L79: only when the daemon's capabilities are known."""
    old = llb.CapSet(["exec.meta.base"])
    new = llb.CapSet(["exec.meta.base", "exec.meta.setsdefaultpath"])
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    run = base().run(["x"], ssh=True)
    assert what(run, caps=old)["meta"]["env"] == ["SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0", path]
    assert what(run, caps=new)["meta"]["env"] == ["SSH_AUTH_SOCK=/run/buildkit/ssh_agent.0"]
    assert "exec.meta.setsdefaultpath" in marshal(run, caps=new).metadata[marshal(run, caps=new).head].caps
    assert "exec.meta.setsdefaultpath" not in caps(run)
    own = base().env(PATH="/p").run(["x"])
    assert what(own, caps=old)["meta"]["env"] == ["PATH=/p"]
    assert "env" not in what(base().run(["x"]), caps=old, platform="windows/amd64")["meta"]

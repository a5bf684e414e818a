"""The 50 golden graphs of ``tests/vectors/llb-golden.json``, written with ``pybuildkit.llb``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pybuildkit import llb
from pybuildkit.llb import State
from pybuildkit.platforms import Platform

VECTORS = {
    vector["name"]: vector
    for vector in json.loads((Path(__file__).parents[2] / "vectors" / "llb-golden.json").read_text())
}

A_DIGEST = "sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # of "a"


def dg() -> str:
    """The digest that the generator used, as it stands in a vector."""
    identifier = bytes.fromhex(VECTORS["imageblob"]["def_hex"][0])
    start = identifier.index(b"@sha256:") + 1
    return identifier[start : start + 71].decode()


def busy() -> State:
    return llb.image("busybox")


def run_everything() -> State:
    resources = llb.Resources(memory=5, cpu_quota=6)
    return busy().run(
        ["sh"],
        mounts={
            "/p": llb.cache("id2", sharing="private", base=busy()),
            "/a": busy().mount(readonly=True, selector="/etc"),
            "/c": llb.cache("id1", sharing="locked"),
            "/t": llb.tmpfs(10),
            "/n": llb.scratch().mount(output=False),
            "/cc": busy().mount(content_cache="off"),
            "/s": llb.secret("sid", uid=1, gid=2, mode=0o440, optional=True),
            "/both": llb.secret("/both"),
            "/run/buildkit/ssh_agent.0": llb.ssh(),
            "/sock": llb.ssh("k", uid=3, gid=4, mode=0o660, optional=True),
        },
        env={"FOO": llb.secret("sid2"), "NM": llb.secret("/both")},
        network="host",
        security="insecure",
        extra_hosts={"h": "1.2.3.4"},
        ulimits={"nofile": (1, -1)},
        cgroup_parent="cg",
        proxy=llb.ProxyEnv(http_proxy="1", https_proxy="2", ftp_proxy="3", no_proxy="4", all_proxy="5"),
        devices=[llb.Device("v/c=d", optional=True)],
        valid_exit_codes=[0, 3],
        ignore_cache=True,
        name="nm",
        export_cache=True,
        progress_group=llb.ProgressGroup("pg", "pgn", True),
        resources=resources,
        require=["k==v", "w"],
    )


def file_chain() -> State:
    other = llb.scratch().mkfile("/a", b"", 0o600)
    return busy().file(
        llb.mkdir("/d", 0o755, parents=True)
        .mkfile("/f", b"x", 0o644, chown="u:5")
        .rm("/z", allow_not_found=True, allow_wildcard=True)
        .copy(other, "/a*", "/b/", include=["q"], created_time=100_000_000_005)
        .symlink("o", "n")
    )


def file_copy_all() -> State:
    return (
        llb.scratch()
        .dir("/base")
        .copy(
            busy().dir("/src"),
            "rel",
            "dst/.",
            mode="u+x",
            follow_symlinks=True,
            contents_only=True,
            include=["i"],
            exclude=["e"],
            required_paths=["r"],
            unpack=True,
            create_dest_path=True,
            allow_wildcard=True,
            allow_empty_wildcard=True,
            chown="u",
            replace_existing=True,
        )
    )


def srcmap() -> State:
    first = llb.SourceMap("F", b"FROM x\n", "Dockerfile")
    second = llb.SourceMap("G", b"g", definition=llb.local(name="ctx", session="z"))
    return busy().run(
        ["a"],
        location=[
            first.location(llb.Range(llb.Position(1), llb.Position(1, 3))),
            second.location((7, 9)),
        ],
    )


IMAGE_CONFIG = {
    "architecture": "arm",
    "os": "linux",
    "variant": "v7",
    "config": {"Env": ["PATH=/bin", "X=1=2", "EMPTY"], "WorkingDir": "/wd"},
}


GRAPHS: dict[str, Callable[[], State]] = {
    "image": busy,
    "image-opts": lambda: llb.image(
        "busybox:1", resolve_mode="pull", internal=True, layer_limit=2, checksum=A_DIGEST
    ),
    "image-preferlocal": lambda: llb.image("foo/bar", resolve_mode="local"),
    "image-digest": lambda: llb.image(f"busybox@{dg()}"),
    "image-registry": lambda: llb.image("localhost:5000/a/b"),
    "image-badref": lambda: llb.image("BAD REF"),
    "image-platform-arm": lambda: llb.image("busybox", platform="linux/arm/v7"),
    "image-osversion": lambda: llb.image("x", platform=Platform("windows", "amd64", "", "10.0", ("a",))),
    "imageblob": lambda: llb.image_blob(f"busybox@{dg()}", filename="f", mode=0o640, uid=1, gid=2),
    "imageblob-bad": lambda: llb.image_blob("busybox:x"),
    "ociblob": lambda: llb.oci_layout_blob(f"foo/bar@{dg()}", session="s", store="id"),
    "ocilayout": lambda: llb.oci_layout(f"foo@{dg()}", session="s", store="id", layer_limit=3, checksum=dg()),
    "scratch": llb.scratch,
    "local-all": lambda: llb.local(
        name="ctx",
        session="s",
        include=["a", "<b>&", "é", "\u2028", "\t\x01\x7f"],
        exclude=['x"y\\'],
        follow_paths=["p"],
        shared_key_hint="h",
        differ="none",
        differ_required=True,
        metadata_only=["q"],
    ),
    "local-plain": lambda: llb.local(name="context"),
    "local-differ-optional": lambda: llb.local(name="c", differ="metadata"),
    "git-frag": lambda: llb.git("https://github.com/moby/buildkit.git", "master:sub"),
    "git-noscheme": lambda: llb.git("github.com/moby/buildkit"),
    "git-opts": lambda: llb.git(
        "https://h/x.git",
        "r",
        subdir="d",
        keep_git_dir=True,
        submodules=False,
        mtime="commit",
        checksum="abc",
        fetch_by_commit=True,
        auth_token_secret="t",
        auth_header_secret="h",
    ),
    "git-ssh": lambda: llb.git(
        "git@github.com:moby/buildkit.git", "v1", known_hosts=["k1", "k2\n"], ssh="id"
    ),
    "git-ssh-url": lambda: llb.git("ssh://git@h:22/x/y.git", known_hosts="k"),
    "git-bundle": lambda: llb.git(
        "https://h/x.git",
        bundle=f"oci-layout+blob://a@{dg()}",
        bundle_session="s",
        bundle_store="id",
        checkout_bundle=True,
        checksum="abc",
    ),
    "http-all": lambda: llb.http(
        "https://x/y",
        checksum=dg(),
        mode=0o644,
        uid=1,
        gid=2,
        filename="f",
        auth_header_secret="s",
        accept="a",
        user_agent="u",
        signature=("pk", "sg"),
    ),
    "run-basic": lambda: busy().run(llb.shlex("echo hi"), env={"B": "2", "A": "1"}, cwd="/w"),
    "run-env-replace": lambda: (
        busy().env(A="1").env(B="2").env(A="3").dir("x").dir("y").user("u").hostname("hn").run(["a"])
    ),
    "run-everything": run_everything,
    "run-mount-output": lambda: busy().run(["x"], mounts={"/out": llb.scratch()})["/out"],
    "run-ro-mount-output": lambda: busy().run(["x"], mounts={"/a": busy()}, readonly_root=True)["/a"],
    "run-ro-root": lambda: busy().run(["x"], readonly_root=True),
    "run-noargs": lambda: busy().run([]),
    "run-scratch": lambda: llb.scratch().run(["x"]),
    "run-platform": lambda: llb.image("busybox", platform="linux/arm64").run(["x"]),
    "file-mkdir": lambda: llb.scratch().mkdir(
        "d", 0o755, parents=True, chown=(1, 2), created_time=100_000_000_005
    ),
    "file-mkfile-user": lambda: busy().mkfile("/f", b"x", 0o644, chown="u:5"),
    "file-mkfile-root": lambda: llb.scratch().mkfile("/f", b"", 0, chown="root"),
    "file-chain": file_chain,
    "file-copy-all": file_copy_all,
    "file-copy-mode": lambda: llb.scratch().copy(busy(), "/a", "/b", mode=0o755),
    "file-copy-action": lambda: llb.scratch().file(
        llb.mkdir("/bar", 0o755).copy(llb.mkdir("/foo", 0o755).on(busy()), "/foo", "/baz")
    ),
    "file-symlink": lambda: llb.scratch().symlink("../o", "n", chown=(1, 1)),
    "merge": lambda: llb.merge(busy(), llb.local(name="x", session="q"), llb.scratch()),
    "merge-same": lambda: llb.merge(busy(), busy()),
    "diff": lambda: llb.diff(busy(), busy().mkdir("/x", 0o700)),
    "diff-scratch-upper": lambda: llb.diff(busy(), llb.scratch()),
    "requires": lambda: busy().requires("id", llb.local(name="x", session="q")),
    "llbbuild": lambda: busy().pipe(llb.build, "fn"),
    "llbbuild-plain": lambda: llb.build(busy()),
    "srcmap": srcmap,
    "constraints": busy,
    "imageconfig": lambda: busy().image_config(IMAGE_CONFIG).run(["a"]),
}

# What the generator gave to Marshal beside the platform and the unique id.
MARSHAL_OPTIONS: dict[str, dict[str, object]] = {
    "constraints": {
        "description": {"k": "v"},
        "require": "a",
        "export_cache": False,
        "platform": "linux/arm64",
    },
}

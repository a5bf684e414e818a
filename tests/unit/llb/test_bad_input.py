"""What can not work is refused by the call that says it, with the value and what to do instead."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest

from pybuildkit import llb
from pybuildkit.errors import DefinitionError
from pybuildkit.platforms import Platform

D = "sha256:" + "a" * 64

x: Any = llb.image("busybox")  # untyped, as the calls below are wrong on purpose
l: Any = llb  # noqa: E741

CALLS: dict[str, tuple[Callable[[], Any], str]] = {
    # references and digests
    "empty reference": (lambda: l.image(""), "''"),
    "bad reference": (lambda: l.image("a b"), "'a b' is not an image reference"),
    "upper case": (lambda: l.image("docker.io/Library/x"), "lower case"),
    "reference of another type": (lambda: l.image(5), "5 is a int, give a str"),
    "reference with NUL": (lambda: l.image("a\0"), "not an image reference"),
    "image id": (lambda: l.image("a" * 64), "image id"),
    "short digest": (lambda: l.image("a@sha256:" + "a" * 32), "32 digits"),
    "checksum": (lambda: l.image("a", checksum="sha256:xyz"), "checksum: .*'sha256:xyz'"),
    "checksum of an unknown algorithm": (lambda: l.http("https://h/f", checksum="md5:" + "a" * 32), "md5"),
    "resolve mode": (lambda: l.image("a", resolve_mode="never"), "'never'.*default, pull, local"),
    "layer limit": (lambda: l.image("a", layer_limit=-1), "layer_limit -1 is out of range"),
    "layer limit as text": (lambda: l.image("a", layer_limit="1"), "layer_limit '1' is a str, give an int"),
    "blob with tag": (lambda: l.image_blob("a:1"), "'a:1' has a tag"),
    "blob without digest": (lambda: l.oci_layout_blob("a"), "'a' has no digest"),
    "file mode": (lambda: l.image_blob(f"a@{D}", mode=0o1777), "mode 1023 is out of range"),
    "file owner": (lambda: l.http("https://h/f", uid=-1), "uid -1"),
    "layout": (lambda: l.oci_layout("a b"), "white space"),
    "empty layout": (lambda: l.oci_layout(""), "is empty"),
    "source without scheme": (lambda: l.source("a"), "'a' has no scheme"),
    "unknown capability": (lambda: l.source("docker-image://a", caps=["nope"]), "capability 'nope'"),
    # platforms
    "platform": (lambda: l.image("a", platform="linux/amd64/v1/x"), "'linux/amd64/v1/x'"),
    "platform word": (lambda: l.image("a", platform="pdp11"), "'pdp11'"),
    "platform of another type": (lambda: x.platform(3), "platform 3"),
    "platform with NUL": (lambda: l.image("a", platform=Platform("linux", "a\0")), "NUL"),
    "empty platform": (lambda: x.platform(""), "platform ''"),
    # addresses
    "url": (lambda: l.http("ftp://h/f"), "'ftp://h/f'.*http"),
    "url with space": (lambda: l.http("https://h/a b"), "'https://h/a b'"),
    "url of another type": (lambda: l.http(b"https://h"), "is a bytes, give a str"),
    "signature": (lambda: l.http("https://h/f", signature="x"), "pair"),
    "git protocol": (lambda: l.git("file:///srv/repo"), "file"),
    "empty git url": (lambda: l.git(""), "git url is empty"),
    "git host": (lambda: l.git("https:///repo"), "has no host"),
    "git port": (lambda: l.git("ssh://git@github.com:acme/app.git"), "no port"),
    "git escape": (lambda: l.git("https://h/%zz"), "%"),
    "git query": (lambda: l.git("https://h/r?ref=v1"), "query"),
    "git ref twice": (lambda: l.git("https://h/r#v1", "v2"), "#v1"),
    "git directory twice": (lambda: l.git("https://h/r", "v1:a", subdir="b"), "'b'"),
    "git times": (lambda: l.git("https://h/r", mtime="now"), "'now'.*checkout, commit"),
    "git bundle": (lambda: l.git("https://h/r", bundle="https://b", checksum="a"), "'https://b'"),
    "git bundle without commit": (
        lambda: l.git("https://h/r", bundle=f"docker-image+blob://a@{D}"),
        "checksum",
    ),
    "git commit": (lambda: l.git("https://h/r", fetch_by_commit=True), "checksum"),
    "git checkout of a bundle": (lambda: l.git("https://h/r", subdir="d", checkout_bundle=True), "subdir"),
    "git key": (lambda: l.git("https://h/r", signature=l.GitSignature(public_key="")), "public key is empty"),
    # folders
    "nothing local": (lambda: l.local(), "local name is empty"),
    "bytes path": (lambda: l.local(type("P", (), {"__fspath__": lambda self: b"/x"})()), "not a str path"),
    "path with NUL": (lambda: l.local("a\0b"), "NUL"),
    "patterns as one text": (lambda: l.local("a", include="*.py"), "'\\*.py' is one text, give a list"),
    "patterns as a number": (lambda: l.local("a", exclude=3), "3 is a int, give a list"),
    "pattern that is none": (lambda: l.local("a", exclude=[3]), "exclude pattern 3 is a int"),
    "differ": (lambda: l.local("a", differ="some"), "'some'.*none, metadata"),
    # commands
    "no command": (lambda: x.run(""), "command '' is empty"),
    "blank command": (lambda: x.run(" \n"), "is empty"),
    "no arguments": (lambda: x.run([]), r"command \[\] is empty"),
    "command of another type": (lambda: x.run(3), "command 3 is a int"),
    "bytes command": (lambda: x.run(b"ls"), "command b'ls' is a bytes"),
    "argument of another type": (lambda: x.run(["a", 3]), "argument 3 is a int"),
    "argument with NUL": (lambda: x.run(["a\0"]), "NUL"),
    "surrogate": (lambda: x.run(["\udc80"]), "surrogate"),
    "shell": (lambda: x.run("a", shell=[1]), "shell 1"),
    "cwd": (lambda: x.run("a", cwd=3), "cwd 3"),
    "user": (lambda: x.run("a", user="u\0"), "user"),
    "environment": (lambda: x.run("a", env=[("A", "1")]), "give a dict"),
    "variable": (lambda: x.run("a", env={"A": 1}), "variable A is 1, a int, give a str"),
    "name of a variable": (lambda: x.env({"A=B": "1"}), "'A=B'"),
    "empty name of a variable": (lambda: x.env({"": "1"}), "''"),
    "secret variable": (lambda: x.run("a", env={"A=B": l.secret("s")}), "'A=B'"),
    "value with NUL": (lambda: x.env(A="\0"), "NUL"),
    "environment of another type": (lambda: x.env(["A=1"]), "give a dict"),
    "network": (lambda: x.run("a", network="bridge"), "'bridge'.*sandbox, host, none"),
    "network of another type": (lambda: x.network(["host"]), "network"),
    "security": (lambda: x.security("privileged"), "'privileged'.*sandbox, insecure"),
    "address": (lambda: x.extra_host("h", "1.2.3"), "h: '1.2.3' is not an IP address"),
    "address with zone": (lambda: x.extra_host("h", "fe80::1%eth0"), "zone"),
    "ulimit": (lambda: x.ulimit("files", 1), "'files'.*nofile"),
    "ulimit value": (lambda: x.run("a", ulimits={"nofile": -2}), "-2 is out of range"),
    "ulimit of another type": (lambda: x.run("a", ulimits={"nofile": "1"}), "'1' is a str"),
    "exit code": (lambda: x.run("a", valid_exit_codes=["1"]), "exit code '1'"),
    "exit codes": (lambda: x.run("a", valid_exit_codes=1), "exit codes 1 is a int, give a list"),
    "devices": (lambda: x.run("a", devices="v/c=d"), "'v/c=d' is one text, give a list"),
    "proxy": (lambda: x.run("a", proxy="http://p"), "'http://p' is a str, give a ProxyEnv"),
    "proxy value": (lambda: x.run("a", proxy=l.ProxyEnv(http_proxy=3)), "proxy 3"),
    "read-only root": (lambda: x.run("a", readonly_root="yes"), "'yes' is a str, give True or False"),
    "directory": (lambda: x.dir(None), "directory None"),
    # mounts
    "relative mount": (lambda: x.run("a", mounts={"src": x}), "'src' is not absolute"),
    "empty mount target": (lambda: x.run("a", mounts={"": x}), "'' is not absolute"),
    "mount target of another type": (lambda: x.run("a", mounts={3: x}), "target 3"),
    "mount target twice": (lambda: x.run("a", mounts={"/a": x, "/a/": x}), "'/a/' is the same place as '/a'"),
    "mount on a secret": (
        lambda: x.run("a", mounts={"/run/secrets/s": x}, secrets=["s"]),
        "'/run/secrets/s'",
    ),
    "mount on the root": (lambda: x.run("a", mounts={"/": x}), "the root"),
    "mount on the root, in disguise": (lambda: x.run("a", mounts={"/a/..": l.cache("c")}), "the root"),
    "mount of a text": (lambda: x.run("a", mounts={"/a": "/src"}), "'/a' is '/src', a str; give a State"),
    "mounts as a list": (lambda: x.run("a", mounts=[("/a", x)]), "give a dict"),
    "cache id": (lambda: l.cache(""), "cache id is empty"),
    "cache sharing": (lambda: l.cache("c", sharing="lock"), "'lock'.*shared, private, locked"),
    "cache base": (lambda: l.cache("c", base="alpine"), "'alpine' is a str, give a State"),
    "content cache": (lambda: x.mount(content_cache=True), "content_cache True"),
    "selector": (lambda: x.mount(selector=3), "selector 3"),
    "tmpfs size": (lambda: l.tmpfs("64m"), "'64m' is a str"),
    "negative tmpfs": (lambda: l.tmpfs(-1), "-1 is out of range"),
    "secret id": (lambda: l.secret(""), "secret id is empty"),
    "secret mode": (lambda: l.secret("s", mode="0400"), "mode '0400' is a str"),
    "secret owner": (lambda: l.secret("s", uid=-1), "uid -1"),
    "secrets as one text": (lambda: x.run("a", secrets="npmrc"), "'npmrc' is one text"),
    "agents": (lambda: x.run("a", ssh=3), "ssh 3"),
    "device": (lambda: l.Device(""), "device name is empty"),
    # files
    "action": (lambda: x.file("rm /a"), "'rm /a' is a str"),
    "empty path": (lambda: x.mkdir(""), "path is empty"),
    "path of another type": (lambda: x.mkdir(b"/a"), "path b'/a'"),
    "path with NUL in an action": (lambda: x.rm("a\0"), "NUL"),
    "mode as text": (lambda: x.mkdir("/a", "0755"), "mode '0755' is a str"),
    "sticky bit": (lambda: x.mkdir("/a", 0o1777), "0o1777 has more than permission bits"),
    "content": (lambda: x.mkfile("/a", 3), "content of '/a' is a int"),
    "surrogate content": (lambda: x.mkfile("/a", "\udc80"), "surrogate"),
    "owner": (lambda: x.mkdir("/a", chown=":g"), "':g' is no owner"),
    "empty group": (lambda: x.mkdir("/a", chown="u:"), "'u:' is no owner"),
    "negative owner": (lambda: x.mkdir("/a", chown=-1), "-1 is out of range"),
    "owner of another type": (lambda: x.mkdir("/a", chown=1.5), "1.5"),
    "naive time": (lambda: x.mkdir("/a", created_time=dt.datetime(2020, 1, 1)), "time zone"),  # noqa: DTZ001
    "time as text": (lambda: x.mkdir("/a", created_time="now"), "created_time 'now'"),
    "copy source": (lambda: x.copy("/a", "/b"), "copy source '/a' is a str, give a State"),
    "copy source of an action": (lambda: x.copy(l.mkdir("/a"), "/a", "/b"), "copy source"),
    "copy flag": (lambda: x.copy(x, "/a", "/b", unpack="yes"), "unpack 'yes'"),
    "copy patterns": (lambda: x.copy(x, "/a", "/b", include="*"), "is one text, give a list"),
    "copy mode": (lambda: x.copy(x, "/a", "/b", mode=-1), "mode -1"),
    "empty copy mode": (lambda: x.copy(x, "/a", "/b", mode=""), "mode is empty"),
    "actions on no state": (lambda: l.mkdir("/a").on("alpine"), "'alpine' is a str"),
    # combining
    "merge of a list": (lambda: l.merge([x, x]), "is a list, give a State"),
    "diff": (lambda: l.diff(x, None), "upper None"),
    "requirement": (lambda: x.requires("id", "b"), "requirement 'b'"),
    "requirement without id": (lambda: x.requires("", x), "id is empty"),
    "requirement of nothing": (lambda: l.scratch().requires("id", x), "nothing of it to wait with"),
    "pass-through": (lambda: l.passthrough("id", ["a"]), "'a' is a str"),
    "build": (lambda: l.build("a"), "'a' is a str"),
    "reset": (lambda: x.reset("a"), "'a' is a str"),
    # options
    "name": (lambda: l.image("a", name=3), "name 3"),
    "description": (lambda: l.image("a", description="d"), "give a dict"),
    "description value": (lambda: l.image("a", description={"k": 1}), "description 'k' 1"),
    "ignore cache": (lambda: l.image("a", ignore_cache=1), "ignore_cache 1"),
    "export cache": (lambda: l.image("a", export_cache="no"), "export_cache 'no'"),
    "group": (lambda: l.image("a", progress_group="g"), "give a ProgressGroup"),
    "group id": (lambda: l.image("a", progress_group=l.ProgressGroup("g\0")), "NUL"),
    "resources": (lambda: l.image("a", resources={"memory": 1}), "give a Resources"),
    "memory": (lambda: l.Resources(memory="1g"), "memory '1g' is a str"),
    "shares": (lambda: l.Resources(cpu_shares=-1), "cpu_shares -1"),
    "filter": (lambda: l.image("a", require=3), "give a list"),
    "filter in a marshal": (lambda: x.marshal(require=[3]), "worker filter 3"),
    "defaults": (lambda: x.with_defaults(platform="x/y/z/w"), "'x/y/z/w'"),
}


@pytest.mark.parametrize("call", CALLS)
def test_is_refused_by_the_call(call: str) -> None:
    make, why = CALLS[call]
    with pytest.raises(DefinitionError, match=why):
        make()

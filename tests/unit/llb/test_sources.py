"""Sources: their identifiers, attributes and capabilities (L1 to L9, L31 to L44)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pybuildkit import llb
from pybuildkit.errors import DefinitionError
from tests.unit.llb.reading import caps, marshal, metadata, op, what

D = "sha256:" + "a" * 64


def test_scratch_is_an_empty_definition() -> None:
    """L1."""
    made = marshal(llb.scratch())
    assert (made.ops, made.to_bytes(), made.head, bool(made)) == ((), b"", "", False)
    assert repr(llb.scratch()) == "<State scratch>"


@pytest.mark.parametrize(
    ("ref", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("me/app", "docker.io/me/app:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("ghcr.io/acme/app:1@" + D, "ghcr.io/acme/app:1@" + D),
        ("busybox@" + D, "docker.io/library/busybox@" + D),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
    ],
)
def test_image_references_are_normalised(ref: str, full: str) -> None:
    """L2."""
    assert what(llb.image(ref)) == {"identifier": f"docker-image://{full}"}
    assert caps(llb.image(ref)) == {"source.image"}


def test_image_options() -> None:
    """L31, L33, L34: the capability of the resolve mode is only needed for pull."""
    assert what(llb.image("a", resolve_mode="pull"))["attrs"] == {"image.resolvemode": "pull"}
    assert "source.image.resolvemode" in caps(llb.image("a", resolve_mode="pull"))
    assert what(llb.image("a", resolve_mode="local"))["attrs"] == {"image.resolvemode": "local"}
    assert caps(llb.image("a", resolve_mode="local")) == {"source.image"}
    assert what(llb.image("a", internal=True))["attrs"] == {"image.recordtype": "internal"}
    limited = llb.image("a", layer_limit=0, checksum=D)
    assert what(limited)["attrs"] == {"image.layerlimit": "0", "image.checksum": D}
    assert caps(limited) == {"source.image", "source.image.layerlimit", "source.image.checksum"}


def test_image_platform_is_emitted_as_written_and_kept_by_the_state_normalised() -> None:
    """L18, L27, L58, L80."""
    state = llb.image("a", platform="linux/arm64/v8")
    assert op(state)["platform"] == {"Architecture": "arm64", "OS": "linux", "Variant": "v8"}
    assert str(state.config().platform) == "linux/arm64"
    assert op(state.run(["x"]))["platform"] == {"Architecture": "arm64", "OS": "linux"}


@pytest.mark.parametrize(
    ("text", "wire"),
    [
        ("linux/amd64", {"Architecture": "amd64", "OS": "linux"}),
        ("linux/arm/v7", {"Architecture": "arm", "OS": "linux", "Variant": "v7"}),
        ("linux/arm/v6", {"Architecture": "arm", "OS": "linux", "Variant": "v6"}),
        ("linux/riscv64", {"Architecture": "riscv64", "OS": "linux"}),
        ("darwin/amd64", {"Architecture": "amd64", "OS": "darwin"}),
        ("windows/amd64", {"Architecture": "amd64", "OS": "windows"}),
    ],
)
def test_platforms_that_go_has_names_for(text: str, wire: dict[str, str]) -> None:
    """L80."""
    assert op(llb.image("a", platform=text))["platform"] == wire


def test_blobs_have_no_platform() -> None:
    """L3, L4, L35."""
    blob = llb.image_blob(f"acme/m@{D}", filename="f", mode=0o600, uid=1, gid=0, platform="linux/arm64")
    assert "platform" not in op(blob)
    assert what(blob) == {
        "identifier": f"docker-image+blob://docker.io/acme/m@{D}",
        "attrs": {"http.filename": "f", "http.perm": "0600", "http.uid": "1"},
    }
    assert caps(blob) == {"source.imageblob"}
    layout = llb.oci_layout_blob(f"x@{D}", session="s", store="i", mode=0o7)
    assert what(layout)["attrs"] == {"http.perm": "07", "oci.session": "s", "oci.store": "i"}
    assert what(layout)["identifier"].startswith("oci-layout+blob://docker.io/library/x@")


def test_oci_layouts_are_not_normalised_and_have_a_platform() -> None:
    """L5, L43: the daemon has no checksum for them, so it is checked here and adds no attribute (X21)."""
    layout = llb.oci_layout(f"not/Normal@{D}", session="s", store="i", layer_limit=2, checksum=D)
    assert what(layout) == {
        "identifier": f"oci-layout://not/Normal@{D}",
        "attrs": {"oci.layerlimit": "2", "oci.session": "s", "oci.store": "i"},
    }
    assert op(layout)["platform"] == {"Architecture": "amd64", "OS": "linux"}
    with pytest.raises(DefinitionError, match="is not the digest of"):
        llb.oci_layout(f"a@{D}", checksum="sha256:" + "b" * 64)


def test_http() -> None:
    """L8, L35, L36: zero is left out; the capability for owners is misspelt in the daemon too."""
    plain = llb.http("https://example.com/a?b=c#d")
    assert what(plain) == {"identifier": "https://example.com/a?b=c#d"}
    assert caps(plain) == {"source.http"}
    full = llb.http(
        "http://h/f", mode=0o755, gid=3, accept="text/plain", user_agent="me", auth_header_secret="t"
    )
    assert what(full)["attrs"] == {
        "http.perm": "0755",
        "http.gid": "3",
        "http.header.accept": "text/plain",
        "http.header.user-agent": "me",
        "http.authheadersecret": "t",
    }
    assert caps(full) == {
        "source.http", "source.http.perm", "soruce.http.uidgid", "source.http.header", "source.http.auth",
    }  # fmt: skip
    signed = llb.http("https://h/f", signature=("KEY", "SIG"))
    assert what(signed)["attrs"] == {"http.sig.pubkey": "KEY", "http.sig.signature": "SIG"}


def test_local_by_name() -> None:
    """L9, L42, L82: the unique id is the marshal's, or its own; with a session there is none."""
    assert what(llb.local(name="ctx")) == {"identifier": "local://ctx", "attrs": {"local.unique": "uid0"}}
    assert caps(llb.local(name="ctx")) == {"source.local", "source.local.unique"}
    assert what(llb.local(name="ctx", unique_id="mine"))["attrs"] == {"local.unique": "mine"}
    assert what(llb.local(name="ctx", session="s"))["attrs"] == {"local.session": "s"}
    assert "local.differ" in what(llb.local(name="c", differ="none"))["attrs"]
    assert "source.local.differ" not in caps(llb.local(name="c", differ="none"))
    assert "source.local.differ" in caps(llb.local(name="c", differ="none", differ_required=True))
    assert what(llb.local(name="c", include=[], session="s"))["attrs"] == {"local.session": "s"}
    assert (
        what(llb.local(name="c", metadata_only=True, session="s"))["attrs"]["local.metadatatransfer"]
        == "true"
    )


def test_local_unique_ids_are_random() -> None:
    """L9: two builds at once must not share what one of them synced."""
    first, second = (llb.local(name="ctx").marshal(source_map=False) for _ in range(2))
    assert first.head != second.head


def test_local_by_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name is made from the path; different patterns are kept apart in the daemon (T19)."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "src"
    plain = llb.local("src")
    made = marshal(plain)
    (name,) = made.locals
    assert name.startswith("src-")
    assert made.locals[name].source == str(folder)
    assert marshal(llb.local(folder)).digests == made.digests
    assert marshal(llb.local(os.fspath(folder) + "/")).digests == made.digests
    assert "local.sharedkeyhint" not in what(plain)["attrs"]
    hints = {what(llb.local("src", exclude=[p]))["attrs"]["local.sharedkeyhint"] for p in ("a", "b")}
    assert len(hints) == 2
    assert (
        what(llb.local("src", exclude=["a"], shared_key_hint="mine"))["attrs"]["local.sharedkeyhint"]
        == "mine"
    )
    assert next(iter(marshal(llb.local("~")).locals.values())).source == str(Path.home())


def test_local_trees_and_clashing_names() -> None:
    """A tree of files is kept as it is; one name can not stand for two of them."""

    class Tree:
        name = "docs"

    tree = Tree()
    both = llb.merge(llb.local(tree), llb.local(tree, exclude=["a"]))
    assert marshal(both).locals["docs"].source is tree
    with pytest.raises(DefinitionError, match="'docs' stands for"):
        marshal(llb.merge(llb.local(tree), llb.local(Tree())))
    named = llb.merge(llb.local(name="docs"), llb.local(tree))
    assert marshal(named).locals["docs"].source is tree


def test_a_folder_of_another_session_is_not_asked_of_the_client() -> None:
    """L42: also not when the definition is read back."""
    state = llb.merge(llb.local(name="theirs", session="s"), llb.local(name="mine"))
    made = marshal(state)
    assert made.locals.keys() == {"mine"}
    assert llb.Definition.from_bytes(made.to_bytes()).locals.keys() == {"mine"}
    assert marshal(llb.definition(made)).locals.keys() == {"mine"}


def test_git_identifier_does_not_depend_on_the_protocol() -> None:
    """L6: the same repository by https, ssh and scp-like address."""
    urls = [
        "https://github.com/a/b.git",
        "ssh://git@github.com/a/b.git",
        "git@github.com:a/b.git",
        "github.com/a/b.git",
    ]
    assert {what(llb.git(url, "v1"))["identifier"] for url in urls} == {"git://github.com/a/b.git#v1"}
    assert what(llb.git(urls[3]))["attrs"] == {
        "git.fullurl": "https://github.com/a/b.git",
        "git.authtokensecret": "GIT_AUTH_TOKEN",
        "git.authheadersecret": "GIT_AUTH_HEADER",
    }
    assert caps(llb.git(urls[0])) == {"source.git", "source.git.fullurl"}


def test_git_places() -> None:
    """L6, L37: ref and directory as arguments, as Docker's fragment, or in the address."""
    same = [
        llb.git("https://h/r", "v1", subdir="d"),
        llb.git("https://h/r", "v1:d"),
        llb.git("https://h/r#v1:d"),
        llb.git("https://h/r", "v1:/d/"),
    ]
    assert {what(state)["identifier"] for state in same} == {"git://h/r#v1:d"}
    assert what(llb.git("https://h/r#:d"))["identifier"] == "git://h/r#:d"
    assert what(llb.git("https://h/r#v1"))["attrs"]["git.fullurl"] == "https://h/r"


def test_git_over_ssh_asks_no_host_for_its_key() -> None:
    """L7, L39: without known hosts there is no attribute, and no network in a constructor."""
    plain = llb.git("git@unreachable.invalid:a/b")
    assert what(plain)["attrs"]["git.mountsshsock"] == "default"
    assert "git.knownsshhosts" not in what(plain)["attrs"]
    assert {"source.git.knownsshhosts", "source.git.mountsshsock"} <= caps(plain)
    full = llb.git("ssh://h/a", known_hosts=["h ssh-rsa A", "h ssh-ed25519 B\n"], ssh="work")
    assert what(full)["attrs"]["git.knownsshhosts"] == "h ssh-rsa A\nh ssh-ed25519 B\n"
    assert what(full)["attrs"]["git.mountsshsock"] == "work"
    assert "git.mountsshsock" not in what(llb.git("https://h/a", known_hosts="k", ssh="work"))["attrs"]


def test_git_options() -> None:
    """L37, L38, L40, L41, X22."""
    state = llb.git(
        "https://h/r",
        "main",
        keep_git_dir=True,
        submodules=False,
        mtime="commit",
        checksum="abc",
        fetch_by_commit=True,
    )
    attrs = what(state)["attrs"]
    assert {key: attrs[key] for key in attrs if not key.startswith("git.auth")} == {
        "git.fullurl": "https://h/r",
        "git.keepgitdir": "true",
        "git.skipsubmodules": "true",
        "git.mtime": "commit",
        "git.checksum": "abc",
        "git.fetchbycommit": "true",
    }
    assert "source.git.httpauth" not in caps(state)
    assert "source.git.httpauth" in caps(llb.git("https://h/r", auth_token_secret="t"))
    without = llb.git("https://h/r", auth_token_secret="", auth_header_secret="")
    assert what(without)["attrs"] == {"git.fullurl": "https://h/r"}
    signed = llb.git("https://h/r", signature=llb.GitSignature(public_key="K", require_signed_tag=True))
    assert what(signed)["attrs"]["git.sig.pubkey"] == "K"
    assert what(signed)["attrs"]["git.sig.requiresignedtag"] == "true"
    assert "source.git.signatureverify" in caps(signed)
    bundle = llb.git("https://h/r", bundle=f"docker-image+blob://r@{D}", checksum="abc")
    assert what(bundle)["attrs"]["git.bundle"] == f"docker-image+blob://r@{D}"
    assert "source.git.bundle" in caps(bundle)


def test_sources_without_a_word_of_their_own() -> None:
    """L15, L44: any scheme, any attribute, known capabilities."""
    state = llb.source(
        "docker-image://docker.io/library/x:1", {"image.resolvemode": "pull"}, caps=["source.image"]
    )
    assert what(state)["attrs"] == {"image.resolvemode": "pull"}
    assert op(state)["platform"]["OS"] == "linux"
    assert "platform" not in op(llb.source("custom://x"))
    assert metadata(state).caps == {"source.image"}

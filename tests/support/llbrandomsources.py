"""Random nodes that a graph begins with; see ``tests.support.llbrandom``."""

from __future__ import annotations

from typing import Any

from tests.support.llbchoices import DIGEST, NAMES, PLATFORMS, REFS, WORDS, Choices, Node


class RandomSources(Choices):
    """Images, repositories, folders."""

    def _source(self, *, full: bool = False) -> int:
        kinds = ["image", "image", "image", "local", "git", "http", "blob", "layout"]
        kind = self.rng.choice(kinds if full else [*kinds, "scratch"])
        if kind == "scratch":
            return self._append({"kind": "scratch"}, empty=True)
        node: Node = getattr(self, f"_source_{kind}")()
        return self._append(node, constraints=True, lazy="config" in node)

    def _source_image(self) -> Node:
        node: Node = {"kind": "image", "ref": self.rng.choice(REFS)}
        if self._maybe(0.2):
            node["resolve"] = self.rng.choice(("default", "pull", "local"))
        if self._maybe(0.1):
            node["layer_limit"] = self.rng.randint(0, 200)
        if self._maybe(0.1):
            node["checksum"] = DIGEST
        if self._maybe(0.1):
            node["internal"] = True
        if self._maybe(0.15):
            node["config"] = self._image_config()
        return node

    def _source_local(self) -> Node:
        node: Node = {"kind": "local", "name": self.rng.choice(("ctx", "src", "a b"))}
        for key, chance in (("include", 0.3), ("exclude", 0.3), ("follow", 0.2)):
            if self._maybe(chance):
                node[key] = self._some(WORDS)
        if self._maybe(0.2):
            node["session"] = "s1"
        if self._maybe(0.2):
            node["hint"] = self.rng.choice(WORDS)
        if self._maybe(0.2):
            node["differ"] = self.rng.choice(("none", "metadata"))
            node["differ_required"] = self._maybe(0.5)
        if self._maybe(0.2):
            node["metadata_only"] = self.rng.choice(([], ["a", "<b>"]))
        return node

    def _source_git(self) -> Node:
        url = self.rng.choice(
            ("https://host/a.git", "host/a/b", "git://h:9418/x.git", "git@host:a/b.git", "ssh://u@h:22/x")
        )
        node: Node = {"kind": "git", "url": url}
        if url.startswith(("git@", "ssh:")):
            node["known_hosts"] = self._some(("k1", "k2"))
            if self._maybe():
                node["ssh_socket"] = "key"
        if self._maybe():
            node["ref"] = self.rng.choice(("main", "v1.0", "refs/tags/é"))
        if self._maybe():
            node["subdir"] = self.rng.choice(("sub", "a/b"))
        for key in ("keep_git_dir", "skip_submodules"):
            if self._maybe(0.2):
                node[key] = True
        if self._maybe(0.2):
            node["checksum"] = "1" * 40
        if self._maybe(0.1):
            node["mtime"] = "commit"
        if self._maybe(0.2):
            node["auth_token"] = "TOKEN"
        return node

    def _source_http(self) -> Node:
        node: Node = {"kind": "http", "url": self.rng.choice(("https://h/a.tar", "http://h:8080/x?y=z"))}
        if self._maybe():
            node["checksum"] = DIGEST
        if self._maybe():
            node["filename"] = self.rng.choice(("f", "é.bin"))
        if self._maybe(0.2):
            node["perm"] = self.rng.choice((0o600, 0o755))
        if self._maybe(0.2):
            node |= {"uid": self.rng.randint(0, 3), "gid": self.rng.randint(0, 3)}
        return node

    def _source_blob(self) -> Node:
        node: Node = {"kind": self.rng.choice(("image_blob", "oci_layout_blob")), "ref": f"foo/bar@{DIGEST}"}
        if node["kind"] == "oci_layout_blob" and self._maybe(0.5):
            node |= {"session": "s", "store": "st"}
        if self._maybe():
            node["filename"] = "f"
        return node

    def _source_layout(self) -> Node:
        node: Node = {"kind": "oci_layout", "ref": f"foo@{DIGEST}"}
        if self._maybe(0.5):
            node |= {"session": "s", "store": "st"}
        if self._maybe():
            node["layer_limit"] = self.rng.randint(0, 5)
        return node

    def _image_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "Env": [
                f"{self.rng.choice(NAMES)}={self.rng.choice(WORDS)}" for _ in range(self.rng.randint(0, 3))
            ]
        }
        if self._maybe(0.5):
            config["WorkingDir"] = self.rng.choice(("/srv", "/", ""))
        out: dict[str, Any] = {"config": config}
        if self._maybe(0.5):
            parts = self.rng.choice(PLATFORMS).split("/")
            out |= {"os": parts[0], "architecture": parts[1]}
        return out

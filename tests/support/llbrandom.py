"""Random graphs, as the descriptions that ``tools/cmd/llbvectors`` and ``tests.support.llbjson`` build.

A generator is driven by a ``random.Random``: a seeded one for a fixed set of graphs, or hypothesis' ``st.randoms()``, which
makes failures shrink. It stays inside of what both sides accept: a graph it gives has a definition.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

Node = dict[str, Any]

_WORDS = (
    "a",
    "b",
    "app",
    "x1",
    "é",
    "z z",
    "<&>",
    "\u2028",
    "😀",
    "A-B_c.d",
    "#",
    "%41",
    "q=r",
    "~",
    "'",
    '"',
    "\\",
)
_NAMES = ("PATH", "HOME", "A", "B", "C", "LANG", "é", "x y")
_PATHS = (
    "/a",
    "/a/b",
    "b",
    "./c",
    "../d",
    "/e/",
    "/f/.",
    ".",
    "/",
    "g/../h",
    "//i//j",
    "k/",
    "/é",
    "/l m",
    "n/.",
)
_REFS = (
    "busybox",
    "alpine:3.20",
    "ghcr.io/acme/api:1.4",
    "localhost:5000/x/y",
    "debian:12",
    "a/b@sha256:" + "ab" * 32,
)
_PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "windows/amd64", "linux/x86_64", "linux/arm64/v8",
              "linux/386", "darwin/arm64", "linux/amd64/v2", "Linux/AArch64")  # fmt: skip
_ULIMITS = ("core", "nofile", "stack", "nproc", "cpu")
_FILTERS = ("region==eu", "gpu", "é", "a.b.c==d")
_TARGETS = ("/mnt", "/mnt/a", "/mnt-b", "/out", "/src", "/é", "/Z", "/var/cache", "/a b", "/out/x")
_DIGEST = "sha256:" + "cd" * 32
_TIMES = (0, 1, -1500000000, 1700000000123456789, 100000000005)


class Graphs:
    """Makes graphs.

    Args:
        rng: where all choices come from.
        size: the most nodes a graph has before the one that gathers its loose ends.
    """

    def __init__(self, rng: random.Random, size: int = 20) -> None:
        self.rng = rng
        self.size = size
        self.nodes: list[Node] = []
        self.empty: set[int] = set()  # nodes that are scratch
        self.lazy: set[int] = set()  # nodes whose output is known only when the graph is marshalled
        self.inputs: list[int] = []  # nodes that are file actions on a state
        self.used: set[int] = set()
        self.maps: list[Node] = []

    def graph(self, name: str = "random") -> dict[str, Any]:
        """A new graph."""
        self.__init__(self.rng, self.size)  # type: ignore[misc]
        rng = self.rng
        self.maps = [
            {
                "filename": f"f{rng.randint(0, 2)}",
                "language": rng.choice(("", "Dockerfile")),
                "data": rng.choice(_WORDS),
            }
            for _ in range(rng.randint(0, 3))
        ]
        for _ in range(rng.randint(1, self.size)):
            self._add()
        self._gather()
        graph: dict[str, Any] = {
            "name": name,
            "nodes": self.nodes,
            "maps": self.maps,
            "out": len(self.nodes) - 1,
        }
        if rng.random() < 0.3:
            graph["marshal"] = self._marshal()
        return graph

    # -- helpers -------------------------------------------------------------------------------------------------

    def _maybe(self, chance: float = 0.3) -> bool:
        return self.rng.random() < chance

    def _some(self, choices: tuple[str, ...], most: int = 3) -> list[str]:
        return [self.rng.choice(choices) for _ in range(self.rng.randint(1, most))]

    def _append(
        self, node: Node, *, empty: bool = False, lazy: bool = False, constraints: bool = False
    ) -> int:
        if constraints and self._maybe(0.3):
            node["constraints"] = self._constraints()
        self.nodes.append(node)
        index = len(self.nodes) - 1
        if empty:
            self.empty.add(index)
        if lazy:
            self.lazy.add(index)
        return index

    def _states(self) -> list[int]:
        return [i for i in range(len(self.nodes)) if i not in self.inputs]

    def _pick(self, *, full: bool = False) -> int:
        """A state to go on from, a late one more often than an early one; ``full``: not scratch."""
        states = [i for i in self._states() if not (full and i in self.empty)]
        if not states:
            return self._source(full=True)
        index = max(self.rng.choice(states), self.rng.choice(states))
        self.used.add(index)
        return index

    def _platform(self) -> dict[str, Any]:
        parts = self.rng.choice(_PLATFORMS).split("/")
        platform: dict[str, Any] = {"os": parts[0], "architecture": parts[1]}
        if len(parts) > 2:
            platform["variant"] = parts[2]
        if self._maybe(0.1):
            platform |= {"os_version": "10.0.1", "os_features": ["b", "a"]}
        return platform

    def _constraints(self) -> dict[str, Any]:
        rng = self.rng
        out: dict[str, Any] = {}
        if self._maybe(0.2):
            out["platform"] = self._platform()
        if self._maybe(0.2):
            out["ignore_cache"] = True
        if self._maybe(0.3):
            out["description"] = {rng.choice(_NAMES): rng.choice(_WORDS) for _ in range(rng.randint(1, 3))}
        if self._maybe(0.3):
            out["name"] = rng.choice(_WORDS)
        if self._maybe(0.2):
            out["export_cache"] = rng.choice((True, False))
        if self._maybe(0.2):
            out["progress_group"] = [rng.choice(_WORDS), rng.choice(_WORDS), rng.choice((True, False))]
        if self._maybe(0.2):
            out["resources"] = {"memory": rng.choice((1, 1 << 40)), "cpu_shares": 5, "cpuset_cpus": "0-3"}
        if self._maybe(0.2):
            out["require"] = self._some(_FILTERS)
        if self.maps and self._maybe(0.4):
            out["locations"] = [self._location() for _ in range(rng.randint(1, 2))]
        return out

    def _location(self) -> dict[str, Any]:
        first = self.rng.randint(1, 200)
        ranges = [[first, self.rng.randint(0, 9), first + self.rng.randint(0, 9), self.rng.randint(0, 9)]]
        return {"map": self.rng.randrange(len(self.maps)), "ranges": ranges}

    def _marshal(self) -> dict[str, Any]:
        # No description: Go's marshal writes the descriptions of ops into the one given for all of them.
        out = {k: v for k, v in self._constraints().items() if k not in ("description", "name", "locations")}
        if self._maybe(0.3):
            out["unique"] = "other"
        if self._maybe(0.2):
            out["caps"] = self.rng.choice(([], ["exec.meta.setsdefaultpath"], ["exec.meta.base"]))
        return out

    # -- nodes ---------------------------------------------------------------------------------------------------

    def _add(self) -> None:
        makers: list[tuple[int, Callable[[], Any]]] = [
            (6, self._source), (9, self._value), (9, self._run), (9, self._file), (2, self._merge), (2, self._diff),
            (1, self._passthrough), (1, self._requires), (1, self._build), (1, self._definition), (2, self._reset),
            (1, self._config), (1, self._async),
        ]  # fmt: skip
        self.rng.choices([m for _, m in makers], [w for w, _ in makers])[0]()

    def _source(self, *, full: bool = False) -> int:
        kinds = ["image", "image", "image", "local", "git", "http", "blob", "layout"]
        kind = self.rng.choice(kinds if full else [*kinds, "scratch"])
        if kind == "scratch":
            return self._append({"kind": "scratch"}, empty=True)
        node: Node = getattr(self, f"_source_{kind}")()
        return self._append(node, constraints=True, lazy="config" in node)

    def _source_image(self) -> Node:
        node: Node = {"kind": "image", "ref": self.rng.choice(_REFS)}
        if self._maybe(0.2):
            node["resolve"] = self.rng.choice(("default", "pull", "local"))
        if self._maybe(0.1):
            node["layer_limit"] = self.rng.randint(0, 200)
        if self._maybe(0.1):
            node["checksum"] = _DIGEST
        if self._maybe(0.1):
            node["internal"] = True
        if self._maybe(0.15):
            node["config"] = self._image_config()
        return node

    def _source_local(self) -> Node:
        node: Node = {"kind": "local", "name": self.rng.choice(("ctx", "src", "a b"))}
        for key, chance in (("include", 0.3), ("exclude", 0.3), ("follow", 0.2)):
            if self._maybe(chance):
                node[key] = self._some(_WORDS)
        if self._maybe(0.2):
            node["session"] = "s1"
        if self._maybe(0.2):
            node["hint"] = self.rng.choice(_WORDS)
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
            node["checksum"] = _DIGEST
        if self._maybe():
            node["filename"] = self.rng.choice(("f", "é.bin"))
        if self._maybe(0.2):
            node["perm"] = self.rng.choice((0o600, 0o755))
        if self._maybe(0.2):
            node |= {"uid": self.rng.randint(0, 3), "gid": self.rng.randint(0, 3)}
        return node

    def _source_blob(self) -> Node:
        node: Node = {"kind": self.rng.choice(("image_blob", "oci_layout_blob")), "ref": f"foo/bar@{_DIGEST}"}
        if node["kind"] == "oci_layout_blob" and self._maybe(0.5):
            node |= {"session": "s", "store": "st"}
        if self._maybe():
            node["filename"] = "f"
        return node

    def _source_layout(self) -> Node:
        node: Node = {"kind": "oci_layout", "ref": f"foo@{_DIGEST}"}
        if self._maybe(0.5):
            node |= {"session": "s", "store": "st"}
        if self._maybe():
            node["layer_limit"] = self.rng.randint(0, 5)
        return node

    def _value(self) -> None:
        on, rng = self._pick(), self.rng
        kind = rng.choice(("env", "env", "env", "env", "dir", "dir", "user", "hostname", "network", "security", "cgroup_parent",
                           "platform", "extra_host", "ulimit"))  # fmt: skip
        node: Node = {"kind": kind, "on": on}
        if kind == "platform":
            node["platform"] = self._platform()
        elif kind == "extra_host":
            node |= {
                "host": rng.choice(("a", "b.c")),
                "ip": rng.choice(("1.2.3.4", "::1", "2001:db8::1", "::ffff:9.8.7.6")),
            }
        elif kind == "ulimit":
            node |= {
                "name": rng.choice(_ULIMITS),
                "soft": rng.choice((-1, 0, 7)),
                "hard": rng.choice((-1, 0, 1 << 40)),
            }
        elif kind == "env":
            node |= {"name": rng.choice(_NAMES), "value": rng.choice(("", *_WORDS))}
        else:
            node["value"] = rng.choice(
                {
                    "dir": ("", *_PATHS),
                    "network": ("sandbox", "host", "none"),
                    "security": ("sandbox", "insecure"),
                }.get(kind, ("u", "1000", "a:b", "é"))
            )
        self._append(node, empty=on in self.empty, lazy=on in self.lazy)

    def _reset(self) -> None:
        on, other = self._pick(), self._pick()
        if on in self.lazy:
            # Go forgets the platform of an image that it looks up, as soon as the state is reset; it is kept here.
            return
        self._append(
            {"kind": "reset", "on": on, "other": other}, empty=on in self.empty, lazy=on in self.lazy
        )

    def _image_config(self) -> dict[str, Any]:
        config: dict[str, Any] = {
            "Env": [
                f"{self.rng.choice(_NAMES)}={self.rng.choice(_WORDS)}" for _ in range(self.rng.randint(0, 3))
            ]
        }
        if self._maybe(0.5):
            config["WorkingDir"] = self.rng.choice(("/srv", "/", ""))
        out: dict[str, Any] = {"config": config}
        if self._maybe(0.5):
            parts = self.rng.choice(_PLATFORMS).split("/")
            out |= {"os": parts[0], "architecture": parts[1]}
        return out

    def _config(self) -> None:
        on = self._pick()
        self._append(
            {"kind": "image_config", "on": on, "config": self._image_config()},
            empty=on in self.empty,
            lazy=on in self.lazy,
        )

    def _async(self) -> None:
        on, to = self._pick(), self._pick(full=True)
        self._append({"kind": "async", "on": on, "to": to}, lazy=True)

    def _run(self) -> None:
        on, rng = self._pick(), self.rng
        node: Node = {"kind": "run", "on": on, "args": self._some(("sh", "-c", "", *_WORDS), 4)}
        if self._maybe():
            node["env"] = [[rng.choice(_NAMES), rng.choice(_WORDS)] for _ in range(rng.randint(1, 3))]
        for key, values in (("dir", _PATHS), ("user", ("u", "0")), ("hostname", ("h",)), ("network", ("host", "none")),
                            ("security", ("insecure",)), ("cgroup_parent", ("/c",))):  # fmt: skip
            if self._maybe(0.12):
                node[key] = rng.choice(values)
        if self._maybe(0.1):
            node["extra_hosts"] = [["h", "10.0.0.1"]]
        if self._maybe(0.1):
            node["ulimits"] = [[rng.choice(_ULIMITS), 1, 2]]
        if self._maybe(0.1):
            node["valid_exit_codes"] = [0, rng.randint(1, 255)]
        if self._maybe(0.1):
            node["readonly_root"] = True
        if self._maybe(0.1):
            node["proxy"] = {"http": "http://p", "no": rng.choice(("", "x"))}
        if self._maybe(0.1):
            node["devices"] = [["v/c=d", rng.choice((True, False))]]
        if self._maybe(0.15):
            node["secrets"] = [self._secret(i) for i in range(rng.randint(1, 3))]
        if self._maybe(0.1):
            node["ssh"] = [self._ssh(i) for i in range(rng.randint(1, 2))]
        targets = rng.sample(_TARGETS, rng.randint(0, 4) if self._maybe(0.6) else 0)
        node["mounts"] = [self._mount(target) for target in targets]
        readonly_empty = bool(node.get("readonly_root")) and on in self.empty
        index = self._append(
            node,
            empty=readonly_empty,
            lazy=bool(node.get("readonly_root")) and on in self.lazy,
            constraints=True,
        )
        for mount in node["mounts"]:
            if self._maybe(0.5) and not (mount.get("cache") or mount.get("tmpfs") or mount.get("no_output")):
                source = mount.get("source")
                readonly = mount.get("readonly", False)
                if not readonly:  # what is read-only has nothing to read back in Python
                    self._append(
                        {"kind": "mount", "of": index, "target": mount["target"]},
                        empty=False,
                        lazy=readonly and source in self.lazy,
                    )

    def _mount(self, target: str) -> Node:
        rng = self.rng
        mount: Node = {"target": target}
        kind = rng.choice(("bind", "bind", "readonly", "scratch", "cache", "tmpfs"))
        if kind == "tmpfs":
            mount |= {"tmpfs": True, "size": rng.choice((0, 1 << 20))}
            return mount
        if kind == "cache":
            mount |= {
                "cache": rng.choice(("c1", "é")),
                "sharing": rng.choice(("shared", "private", "locked")),
            }
        if kind in ("bind", "readonly") or (kind == "cache" and self._maybe()):
            mount["source"] = self._pick(full=True)
            if self._maybe(0.2):
                mount["selector"] = rng.choice(("/sub", "x"))
            if self._maybe(0.1):
                mount["content_cache"] = rng.choice(("on", "off"))
        if kind == "readonly":
            mount["readonly"] = True
        elif kind == "bind" and self._maybe(0.2):
            mount["no_output"] = True
        return mount

    def _secret(self, number: int) -> Node:
        rng = self.rng
        if self._maybe(0.4):
            return {
                "dest": f"S{number}",
                "id": rng.choice(("i", "é")),
                "env": True,
                "optional": self._maybe(),
            }
        secret: Node = {"dest": f"/run/s{number}", "id": rng.choice(("i", "é")), "optional": self._maybe()}
        if self._maybe():
            secret["file"] = [rng.randint(0, 3), 1000, rng.choice((0o400, 0o644, 0))]
        return secret

    def _ssh(self, number: int) -> Node:
        ssh: Node = {"optional": self._maybe()}
        if self._maybe(0.5):
            ssh["id"] = "key"
        if number or self._maybe(0.5):
            ssh["opt"] = [f"/agent{number}", 1, 2, 0o660]
        return ssh

    def _file(self) -> None:
        on = self._pick()
        if self._maybe(0.2):
            self.inputs.append(
                self._append({"kind": "actions", "on": self._pick(), "actions": self._actions(2)})
            )
        self._append({"kind": "file", "on": on, "actions": self._actions(4)}, constraints=True)

    def _actions(self, most: int) -> list[Node]:
        return [self._action() for _ in range(self.rng.randint(1, most))]

    def _action(self) -> Node:
        rng = self.rng
        do = rng.choice(("mkdir", "mkfile", "symlink", "rm", "copy", "copy"))
        action: Node = {"do": do}
        if do == "rm":
            return action | {
                "path": rng.choice(_PATHS),
                "allow_not_found": self._maybe(),
                "allow_wildcard": self._maybe(),
            }
        if do == "mkdir":
            action |= {
                "path": rng.choice(_PATHS),
                "mode": rng.choice((0, 0o700, 0o755)),
                "parents": self._maybe(),
            }
        elif do == "mkfile":
            action |= {
                "path": rng.choice(_PATHS),
                "mode": rng.choice((0, 0o600)),
                "data": rng.choice(("", *_WORDS)) * rng.randint(1, 80),
            }
        elif do == "symlink":
            action |= {"old": rng.choice(_PATHS), "new": rng.choice(_PATHS)}
        else:
            action |= {"from": rng.choice(self.inputs) if self.inputs and self._maybe() else self._pick(),
                       "src": rng.choice(("", *_PATHS)), "dest": rng.choice(("", *_PATHS))}  # fmt: skip
            for key in (
                "follow",
                "contents_only",
                "unpack",
                "create_dest",
                "wildcard",
                "empty_wildcard",
                "replace",
            ):
                if self._maybe(0.15):
                    action[key] = True
            for key in ("include", "exclude", "required"):
                if self._maybe(0.1):
                    action[key] = self._some(_WORDS)
            if self._maybe(0.2):
                action |= rng.choice(({"mode": 0o644}, {"mode": 0}, {"mode_str": "u+x"}))
        if self._maybe(0.3):
            action |= rng.choice(
                ({"user": "u"}, {"user": "u:5"}, {"user": "root:g"}, {"ids": [1, 0]}, {"user": "7"})
            )
        if self._maybe(0.2):
            action["time"] = rng.choice(_TIMES)
        return action

    def _merge(self) -> None:
        inputs = [self._pick() for _ in range(self.rng.randint(0, 4))]
        full = [i for i in inputs if i not in self.empty]
        self._append(
            {"kind": "merge", "inputs": inputs},
            empty=not full,
            lazy=len(full) == 1 and full[0] in self.lazy,
            constraints=True,
        )

    def _diff(self) -> None:
        lower, upper = self._pick(), self._pick()
        self._append(
            {"kind": "diff", "lower": lower, "upper": upper},
            empty=lower in self.empty and upper in self.empty,
            lazy=lower in self.empty and upper in self.lazy,
            constraints=True,
        )

    def _passthrough(self) -> None:
        inputs: list[list[Any]] = [[self._pick(full=True), True]]
        inputs += [[self._pick(), self._maybe(0.5)] for _ in range(self.rng.randint(0, 2))]
        index = self.rng.randrange(sum(out and i not in self.empty for i, out in inputs))
        self._append(
            {"kind": "passthrough", "id": self.rng.choice(_WORDS), "inputs": inputs, "index": index},
            constraints=True,
        )

    def _requires(self) -> None:
        on = self._pick(full=True)
        deps = [self._pick() for _ in range(self.rng.randint(0, 2))]
        self._append(
            {"kind": "requires", "on": on, "id": "gate", "deps": deps}, lazy=not deps and on in self.lazy
        )

    def _build(self) -> None:
        node: Node = {"kind": "llb_build", "on": self._pick(full=True)}
        if self._maybe(0.5):
            node["filename"] = "x.llb"
        self._append(node, constraints=True)

    def _definition(self) -> None:
        self._append({"kind": "definition", "of": self._pick(full=True)})

    def _gather(self) -> None:
        """Make the last node depend on all that nothing else uses."""
        loose = [i for i in self._states() if i not in self.used and i not in self.empty][-12:]
        if len(loose) != 1:
            self.nodes.append({"kind": "merge", "inputs": loose})

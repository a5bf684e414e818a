"""Random commands and file actions; see ``tests.support.llbrandom``."""

from __future__ import annotations

from tests.support.llbchoices import NAMES, PATHS, TARGETS, TIMES, ULIMITS, WORDS, Choices, Node


class RandomSteps(Choices):
    """Runs with their mounts, and file ops."""

    def _run(self) -> None:
        on, rng = self._pick(), self.rng
        node: Node = {"kind": "run", "on": on, "args": self._some(("sh", "-c", "", *WORDS), 4)}
        if self._maybe():
            node["env"] = [[rng.choice(NAMES), rng.choice(WORDS)] for _ in range(rng.randint(1, 3))]
        for key, values in (("dir", PATHS), ("user", ("u", "0")), ("hostname", ("h",)), ("network", ("host", "none")),
                            ("security", ("insecure",)), ("cgroup_parent", ("/c",))):  # fmt: skip
            if self._maybe(0.12):
                node[key] = rng.choice(values)
        if self._maybe(0.1):
            node["extra_hosts"] = [["h", "10.0.0.1"]]
        if self._maybe(0.1):
            node["ulimits"] = [[rng.choice(ULIMITS), 1, 2]]
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
        targets = rng.sample(TARGETS, rng.randint(0, 4) if self._maybe(0.6) else 0)
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
                "path": rng.choice(PATHS),
                "allow_not_found": self._maybe(),
                "allow_wildcard": self._maybe(),
            }
        if do == "mkdir":
            action |= {
                "path": rng.choice(PATHS),
                "mode": rng.choice((0, 0o700, 0o755)),
                "parents": self._maybe(),
            }
        elif do == "mkfile":
            action |= {
                "path": rng.choice(PATHS),
                "mode": rng.choice((0, 0o600)),
                "data": rng.choice(("", *WORDS)) * rng.randint(1, 80),
            }
        elif do == "symlink":
            action |= {"old": rng.choice(PATHS), "new": rng.choice(PATHS)}
        else:
            action |= {"from": rng.choice(self.inputs) if self.inputs and self._maybe() else self._pick(),
                       "src": rng.choice(("", *PATHS)), "dest": rng.choice(("", *PATHS))}  # fmt: skip
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
                    action[key] = self._some(WORDS)
            if self._maybe(0.2):
                action |= rng.choice(({"mode": 0o644}, {"mode": 0}, {"mode_str": "u+x"}))
        if self._maybe(0.3):
            action |= rng.choice(
                ({"user": "u"}, {"user": "u:5"}, {"user": "root:g"}, {"ids": [1, 0]}, {"user": "7"})
            )
        if self._maybe(0.2):
            action["time"] = rng.choice(TIMES)
        return action

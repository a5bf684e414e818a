"""What random graphs are made of, and how choices are made; see ``tests.support.llbrandom``."""

from __future__ import annotations

import random
from typing import Any

Node = dict[str, Any]

WORDS = (
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
NAMES = ("PATH", "HOME", "A", "B", "C", "LANG", "é", "x y")
PATHS = (
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
REFS = (
    "busybox",
    "alpine:3.20",
    "ghcr.io/acme/api:1.4",
    "localhost:5000/x/y",
    "debian:12",
    "a/b@sha256:" + "ab" * 32,
)
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "windows/amd64", "linux/x86_64", "linux/arm64/v8",
              "linux/386", "darwin/arm64", "linux/amd64/v2", "Linux/AArch64")  # fmt: skip
ULIMITS = ("core", "nofile", "stack", "nproc", "cpu")
FILTERS = ("region==eu", "gpu", "é", "a.b.c==d")
TARGETS = ("/mnt", "/mnt/a", "/mnt-b", "/out", "/src", "/é", "/Z", "/var/cache", "/a b", "/out/x")
DIGEST = "sha256:" + "cd" * 32
TIMES = (0, 1, -1500000000, 1700000000123456789, 100000000005)


class Choices:
    """The nodes of one graph as far as it is made.

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
        parts = self.rng.choice(PLATFORMS).split("/")
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
            out["description"] = {rng.choice(NAMES): rng.choice(WORDS) for _ in range(rng.randint(1, 3))}
        if self._maybe(0.3):
            out["name"] = rng.choice(WORDS)
        if self._maybe(0.2):
            out["export_cache"] = rng.choice((True, False))
        if self._maybe(0.2):
            out["progress_group"] = [rng.choice(WORDS), rng.choice(WORDS), rng.choice((True, False))]
        if self._maybe(0.2):
            out["resources"] = {"memory": rng.choice((1, 1 << 40)), "cpu_shares": 5, "cpuset_cpus": "0-3"}
        if self._maybe(0.2):
            out["require"] = self._some(FILTERS)
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

    def _source(self, *, full: bool = False) -> int:
        raise NotImplementedError

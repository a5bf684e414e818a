"""Random graphs, as the descriptions that ``tools/cmd/llbvectors`` and ``tests.support.llbjson`` build.

A generator is driven by a ``random.Random``: a seeded one for a fixed set of graphs, or hypothesis' ``st.randoms()``, which
makes failures shrink. It stays inside of what both sides accept: a graph it gives has a definition.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.llbchoices import NAMES, PATHS, ULIMITS, WORDS, Node
from tests.support.llbrandomsources import RandomSources
from tests.support.llbrandomsteps import RandomSteps


class Graphs(RandomSources, RandomSteps):
    """Makes graphs; ``rng`` and ``size`` as for ``Choices``."""

    def graph(self, name: str = "random") -> dict[str, Any]:
        """A new graph."""
        self.__init__(self.rng, self.size)  # type: ignore[misc]
        rng = self.rng
        self.maps = [
            {
                "filename": f"f{rng.randint(0, 2)}",
                "language": rng.choice(("", "Dockerfile")),
                "data": rng.choice(WORDS),
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

    def _add(self) -> None:
        makers: list[tuple[int, Callable[[], Any]]] = [
            (6, self._source), (9, self._value), (9, self._run), (9, self._file), (2, self._merge), (2, self._diff),
            (1, self._passthrough), (1, self._requires), (1, self._build), (1, self._definition), (2, self._reset),
            (1, self._config), (1, self._async),
        ]  # fmt: skip
        self.rng.choices([m for _, m in makers], [w for w, _ in makers])[0]()

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
                "name": rng.choice(ULIMITS),
                "soft": rng.choice((-1, 0, 7)),
                "hard": rng.choice((-1, 0, 1 << 40)),
            }
        elif kind == "env":
            node |= {"name": rng.choice(NAMES), "value": rng.choice(("", *WORDS))}
        else:
            node["value"] = rng.choice(
                {
                    "dir": ("", *PATHS),
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
            {"kind": "passthrough", "id": self.rng.choice(WORDS), "inputs": inputs, "index": index},
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

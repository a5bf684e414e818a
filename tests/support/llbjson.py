"""Builds graphs from the JSON descriptions of ``tools/cmd/llbvectors``, whose documentation tells what is in them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from pybuildkit import llb
from pybuildkit.errors import DefinitionError
from pybuildkit.platforms import Platform
from tests.support.llbnodes import Call, Params, Unsupported, platform_of
from tests.support.llbsources import SourceNodes
from tests.support.llbsteps import StepNodes

__all__ = ["Builder", "Unsupported", "digest_of", "run", "summary"]


class Builder(SourceNodes, StepNodes):
    """Builds the states of one graph."""

    def __init__(self, graph: Mapping[str, Any]) -> None:
        super().__init__()
        self.graph = graph

    def build(self) -> llb.State:
        for source_map in self.graph.get("maps", ()):
            # The state of a map is a node, and nodes may name the map: so it is one that comes before its users.
            state = source_map.get("state")
            self.maps.append(
                llb.SourceMap(
                    source_map["filename"],
                    source_map.get("data", "").encode(),
                    source_map.get("language", ""),
                    None if state is None else self._early(state),
                )
            )
        for node in self.graph["nodes"][len(self.states) :]:
            self._add(node)
        state = self.states[self.graph.get("out", -1)]
        assert isinstance(state, llb.State)
        return state

    def _early(self, index: int) -> llb.State:
        while len(self.states) <= index:
            self._add(self.graph["nodes"][len(self.states)])
        state = self.states[index]
        assert isinstance(state, llb.State)
        return state

    def marshal(self) -> llb.Definition:
        options: Params = {} if self.graph.get("bare") else {"platform": "linux/amd64", "unique_id": "uid0"}
        marshal = Call(self.graph.get("marshal", {}))
        caps = marshal.take("caps")
        unique = marshal.take("unique")
        state = self.build()
        options |= self._options(marshal.left)
        if unique is not None:
            options["unique_id"] = unique
        if caps is not None:
            options["caps"] = llb.CapSet(caps)
        return state.marshal(source_map=False, **options)

    def _add(self, node: Mapping[str, Any]) -> None:
        call = Call(node)
        make: Callable[[Call], Any] = getattr(self, "make_" + call.take("kind"))
        self.states.append(make(call))
        call.finish()

    # -- settings ------------------------------------------------------------------------------------------------

    def make_env(self, call: Call) -> llb.State:
        return self._on(call).env({call.take("name"): call.take("value")})

    def make_dir(self, call: Call) -> llb.State:
        return self._on(call).dir(call.take("value"))

    def make_user(self, call: Call) -> llb.State:
        return self._on(call).user(call.take("value"))

    def make_hostname(self, call: Call) -> llb.State:
        return self._on(call).hostname(call.take("value"))

    def make_network(self, call: Call) -> llb.State:
        return self._on(call).network(call.take("value"))

    def make_security(self, call: Call) -> llb.State:
        return self._on(call).security(call.take("value"))

    def make_cgroup_parent(self, call: Call) -> llb.State:
        return self._on(call).cgroup_parent(call.take("value"))

    def make_platform(self, call: Call) -> llb.State:
        return self._on(call).platform(platform_of(call.take("platform")))

    def make_extra_host(self, call: Call) -> llb.State:
        return self._on(call).extra_host(call.take("host"), call.take("ip"))

    def make_ulimit(self, call: Call) -> llb.State:
        return self._on(call).ulimit(call.take("name"), call.take("soft"), call.take("hard"))

    def make_reset(self, call: Call) -> llb.State:
        return self._on(call).reset(self.states[call.take("other")])

    def make_requires(self, call: Call) -> llb.State:
        return self._on(call).requires(call.take("id"), *[self.states[i] for i in call.take("deps")])

    def make_image_config(self, call: Call) -> llb.State:
        return self._on(call).image_config(call.take("config"), user=False)

    def make_marshal_defaults(self, call: Call) -> llb.State:
        return self._on(call).with_defaults(**self._constraints(call))

    def make_async(self, call: Call) -> llb.State:
        state, error = self._on(call), call.take("error")
        to = self.states[call.take("to", 0)]

        def later(_: llb.State, __: Platform) -> llb.State:
            if error:
                raise RuntimeError(error)
            assert isinstance(to, llb.State)
            return to

        return state.defer(later)

    # -- combinations --------------------------------------------------------------------------------------------

    def make_merge(self, call: Call) -> llb.State:
        return llb.merge(*[self.states[i] for i in call.take("inputs")], **self._op_constraints(call))

    def make_diff(self, call: Call) -> llb.State:
        return llb.diff(
            self.states[call.take("lower")], self.states[call.take("upper")], **self._op_constraints(call)
        )

    def make_passthrough(self, call: Call) -> llb.State:
        inputs = [llb.PassthroughInput(self.states[i], output=bool(out)) for i, out in call.take("inputs")]
        made = llb.passthrough(call.take("id"), inputs, **self._op_constraints(call))
        return made[call.take("index", 0)]

    def make_llb_build(self, call: Call) -> llb.State:
        return llb.build(self._on(call), **call.given(filename="filename"), **self._constraints(call))


def summary(definition: llb.Definition) -> dict[str, Any]:
    """What ``llbvectors`` says of a definition, as far as it says anything."""
    if not definition:
        return {"definition_sha256": digest_of(definition.to_bytes())}
    return {
        "def_hex": [op.hex() for op in definition.ops],
        "digests": list(definition.digests),
        "head": definition.head,
        "definition_sha256": digest_of(definition.to_bytes()),
    }


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def run(graph: Mapping[str, Any]) -> dict[str, Any]:
    """Build and marshal a graph, as ``llbvectors run`` does; an error is part of the answer."""
    builder = Builder(graph)
    try:
        return summary(builder.marshal())
    except (DefinitionError, RuntimeError) as exc:
        return {"error": str(exc)}

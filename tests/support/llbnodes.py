"""What all nodes of a graph's description share; see ``tests.support.llbjson``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pybuildkit import llb
from pybuildkit.platforms import Platform

Params = dict[str, Any]


class Unsupported(Exception):
    """The description says something that the Python API has no words for."""


class Call:
    """A node's parameters, taken one by one: what is left at the end was misspelt, or forgotten here."""

    def __init__(self, node: Mapping[str, Any]) -> None:
        self.left = dict(node)

    def take(self, name: str, default: Any = None) -> Any:
        return self.left.pop(name, default)

    def given(self, **names: str) -> Params:
        """Arguments for those parameters that are given: ``given(argument="parameter")``."""
        return {argument: self.left.pop(name) for argument, name in names.items() if name in self.left}

    def finish(self) -> None:
        if self.left:
            raise Unsupported(f"parameters {self.left}")


def platform_of(value: Mapping[str, Any]) -> Platform:
    return Platform(
        value["os"],
        value["architecture"],
        value.get("variant", ""),
        value.get("os_version", ""),
        tuple(value.get("os_features", ())),
    )


class Nodes:
    """The states of one graph, by the number of their node."""

    def __init__(self) -> None:
        self.states: list[Any] = []
        self.runs: dict[int, llb.Run] = {}
        self.asked: list[dict[str, str]] = []
        self.maps: list[llb.SourceMap] = []

    def _options(self, value: Mapping[str, Any]) -> Params:
        """Constraints as the keyword arguments of an op."""
        call = Call(value)
        options = call.given(
            ignore_cache="ignore_cache",
            description="description",
            name="name",
            export_cache="export_cache",
            require="require",
        )
        if options.get("export_cache") == "default":
            options["export_cache"] = None
        if "platform" in call.left:
            options["platform"] = platform_of(call.take("platform"))
        if "progress_group" in call.left:
            options["progress_group"] = llb.ProgressGroup(*call.take("progress_group"))
        if "resources" in call.left:
            options["resources"] = llb.Resources(**call.take("resources"))
        if locations := call.take("locations"):
            options["location"] = [self._location(location) for location in locations]
        call.finish()
        return options

    def _location(self, location: Mapping[str, Any]) -> llb.SourceLocation:
        ranges = [llb.Range(llb.Position(r[0], r[1]), llb.Position(r[2], r[3])) for r in location["ranges"]]
        number: int = location["map"]
        return self.maps[number].location(*ranges)

    def _constraints(self, call: Call) -> Params:
        return self._options(call.take("constraints", {}))

    def _op_constraints(self, call: Call) -> Params:
        """Constraints of an op that has no platform: Go takes one and drops it."""
        options = self._constraints(call)
        options.pop("platform", None)
        return options

    def _on(self, call: Call) -> llb.State:
        state = self.states[call.take("on", 0)]
        assert isinstance(state, llb.State)
        return state

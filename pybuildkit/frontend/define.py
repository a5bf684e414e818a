"""``@frontend``: an async function as a BuildKit frontend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NoReturn, TypeAlias, overload

from pybuildkit.errors import ConfigError, FrontendError
from pybuildkit.frontend.subrequests import DESCRIBE, Subrequest, describe, unsupported
from pybuildkit.gateway.results import GatewayResult

if TYPE_CHECKING:
    from pybuildkit.gateway.gateway import Gateway
    from pybuildkit.gateway.reference import Reference
    from pybuildkit.llb import Definition, State

__all__ = ["BuildFunction", "Buildable", "Frontend", "frontend"]

Buildable: TypeAlias = "GatewayResult | Reference | State | Definition | None"
"""What a frontend's function may give: a result; a reference or a graph, which become one without an image configuration;
None for a result without files."""

BuildFunction: TypeAlias = "Callable[[Gateway], Awaitable[Buildable]]"

_CAPABILITY = "moby.buildkit.frontend."
_KNOWN = ("inputs", "contexts", "gitquerystring")


class Frontend:
    """A BuildKit frontend; made with ``@frontend``.

    Calling it with a gateway builds, in a client's process as in a container. ``run()`` is what the container's process
    does.

    Args:
        function: gets a gateway and gives what has been built.
        capabilities: what clients may rely on: ``inputs``: it reads ``gateway.inputs()``; ``contexts``: it knows named
            contexts; ``gitquerystring``: contexts that are git repositories may have queries. ``Inputs`` has all of them.
        network: whether its container has a network. What it builds is another matter.

    Attributes:
        name: the function's name.
    """

    def __init__(
        self, function: BuildFunction, *, capabilities: Iterable[str] = (), network: bool = True
    ) -> None:
        if not callable(function):
            raise ConfigError(f"a frontend is an async function, not {function!r}")
        self._function = function
        self._requests: dict[str, Subrequest] = {}
        self._capabilities = tuple(map(_short, capabilities))
        self._network = network
        self.name = getattr(function, "__name__", type(function).__name__)
        self.__doc__ = function.__doc__

    def request(
        self, name: str, *, version: str = "1.0.0", description: str = ""
    ) -> Callable[[BuildFunction], BuildFunction]:
        """Make a function the answer to a question about the input, in place of building it.

        ::

            @services.request("frontend.targets", description="the services of a file")
            async def targets(gateway: Gateway) -> GatewayResult:
                return subrequest_result({"targets": [...]}, text="...", version="1.0.0")

        Args:
            name: the request's name, as ``frontend.lint``.
            version: of the answer's format.
            description: what it answers.

        Raises:
            ConfigError: there is such a request already.
        """
        if name in self._requests or name == DESCRIBE:
            raise ConfigError(f"the frontend {self.name} answers to {name!r} already")

        def add(function: BuildFunction) -> BuildFunction:
            self._requests[name] = Subrequest(name, version, description, function)
            return function

        return add

    @property
    def labels(self) -> Mapping[str, str]:
        """What the frontend's image must say: the daemon reads what it can do from there (V59)."""
        capabilities = sorted({"subrequests", *self._capabilities})
        labels = {f"{_CAPABILITY}caps": ",".join(f"{_CAPABILITY}{name}" for name in capabilities)}
        if not self._network:
            labels[f"{_CAPABILITY}network.none"] = "true"
        return labels

    async def __call__(self, gateway: Gateway) -> GatewayResult:
        """Build what the gateway's options ask for.

        Raises:
            FrontendError: the input can not be built, or the request is not known.
            BuildError: a step failed.
        """
        asked = gateway.options.get("requestid")
        function = self._function
        if asked == DESCRIBE:
            return describe(self._requests.values())
        if asked is not None:
            found = self._requests.get(asked)
            if found is None:
                raise unsupported(asked)
            function = found.function
        return await _as_result(gateway, await function(gateway))

    def run(self) -> NoReturn:
        """Be the process of a frontend's container: build, tell the daemon, and exit.

        It takes standard input and output for the daemon; what is printed goes to standard error, into the daemon's log.
        The exit code is 0 when all went well, 1 when the build failed, 2 when this is no frontend's container.
        """
        from pybuildkit.frontend.run import run

        run(self)

    def __repr__(self) -> str:
        return f"<Frontend {self.name}>"


@overload
def frontend(function: BuildFunction, /) -> Frontend: ...
@overload
def frontend(
    *, capabilities: Iterable[str] = (), network: bool = True
) -> Callable[[BuildFunction], Frontend]: ...


def frontend(
    function: BuildFunction | None = None,
    /,
    *,
    capabilities: Iterable[str] = (),
    network: bool = True,
) -> Frontend | Callable[[BuildFunction], Frontend]:
    r"""Make an async function a BuildKit frontend.

    ::

        @frontend(capabilities=["inputs", "contexts"])
        async def hello(gateway: Gateway) -> State:
            name = gateway.options.get("build-arg:NAME", "world")
            return llb.scratch().mkfile("/hello", f"Hello {name}\n")

        if __name__ == "__main__":
            hello.run()

    Args:
        function: gets a gateway and gives what has been built.
        capabilities: see ``Frontend``.
        network: see ``Frontend``.

    Raises:
        ConfigError: a capability does not exist.
    """
    if function is not None:
        return Frontend(function)
    listed = tuple(capabilities)
    return lambda made: Frontend(made, capabilities=listed, network=network)


def _short(capability: str) -> str:
    name = capability.removeprefix(_CAPABILITY)
    if name not in (*_KNOWN, "subrequests") and not capability.startswith(_CAPABILITY):
        raise ConfigError(
            f"capability {capability!r} does not exist, there are {', '.join(_KNOWN)}; "
            f"write one of your own as {_CAPABILITY}NAME"
        )
    return name


async def _as_result(gateway: Gateway, made: Buildable) -> GatewayResult:
    from pybuildkit.gateway.reference import Reference
    from pybuildkit.llb import Definition, State

    if made is None:
        return GatewayResult()
    if isinstance(made, GatewayResult):
        return made
    if isinstance(made, Reference):
        return GatewayResult(made)
    if isinstance(made, State | Definition):
        empty = made.output is None if isinstance(made, State) else not made
        return GatewayResult() if empty else await gateway.solve(made)
    raise FrontendError(
        f"the frontend's function gave {type(made).__name__}; it must give a GatewayResult, a reference, a state or None"
    )

"""The output that loads an image into a docker engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Unpack

from pybuildkit._imageoutputs import EngineOptions, ImageOutput, fill
from pybuildkit._values import KW_ONLY, dataclass, field
from pybuildkit.references import Reference
from pybuildkit.targets import FileTarget

if TYPE_CHECKING:
    from pybuildkit.transport.engine_load import ImageLoad

__all__ = ["DockerEngine"]


@dataclass(frozen=True, slots=True, repr=False, eq=False, init=False)
class DockerEngine(ImageOutput):
    """An image loaded into a docker engine, as ``docker buildx build --load`` does, without a docker binary.

    It comes from the daemon as ``Docker`` does, so it has one platform and no attestations, and goes on to the engine while
    it comes. The engine has it when the build has succeeded, and nothing of it otherwise.

    Attributes:
        names: the image's names; the positional arguments.
        context: the docker context that names the engine; else the one that the docker command would use:
            ``$DOCKER_HOST``, ``$DOCKER_CONTEXT``, the current context, ``/var/run/docker.sock``.
    """

    type: str = field(default="docker", init=False)
    _: KW_ONLY
    context: str = ""

    def __init__(self, *names: str | Reference, **options: Unpack[EngineOptions]) -> None:
        """Make one; see the class."""
        fill(self, type="docker", names=names, **options)

    @property
    def target(self) -> FileTarget:
        """The engine."""
        return FileTarget(EngineDestination(self.context))


class EngineDestination:
    """Gives what takes the archive; looks whether the engine is there before that."""

    def __init__(self, context: str) -> None:
        self._context = context

    def check(self) -> None:
        """See whether the engine answers.

        Raises:
            ConfigError: there is no such docker context.
            ConnectError: it does not answer.
        """
        from pybuildkit.transport.docker_engine import find_engine
        from pybuildkit.transport.engine_load import ping

        ping(find_engine(self._context))

    def __call__(self, metadata: Mapping[str, str]) -> ImageLoad:
        """Open the way to the engine.

        Raises:
            ConnectError: it does not answer any more.
        """
        from pybuildkit.transport.docker_engine import find_engine
        from pybuildkit.transport.engine_load import ImageLoad

        return ImageLoad(find_engine(self._context))

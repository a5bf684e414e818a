"""The questions as methods of the clients."""

# ruff: noqa: D102 - the blocking methods have their twins' texts

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Unpack

from pybuildkit._portal import borrow_texts

if TYPE_CHECKING:
    from pybuildkit.fsutil import FS
    from pybuildkit.options import BuildOptions
    from pybuildkit.rpc.channel import Channel
    from pybuildkit.session.carrier import CarrierFactory
    from pybuildkit.subrequests import Answer, Description, Lint, Outline, Targets

__all__ = ["BlockingSubrequests", "SubrequestCalls"]


class SubrequestCalls:
    """Questions to the frontend of a Dockerfile directory; ``AsyncClient`` has the connection."""

    _carrier: CarrierFactory | None

    def _connected(self) -> Channel:
        raise NotImplementedError

    def _with_auth(self, options: Mapping[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    async def ask(
        self,
        request: str,
        path: str | os.PathLike[str] | FS = ".",
        **options: Unpack[BuildOptions],
    ) -> Answer:
        """Ask the frontend of a Dockerfile directory something. Nothing is built.

        Args:
            request: the question, as ``frontend.lint``; ``describe()`` says what there is.
            path: as for ``build()``.
            **options: as for ``build()``, without those that export something.

        Raises:
            FrontendError: the frontend can not be asked that, or can not read the Dockerfile.
            BuildError: something else failed; the subclass says how.
            ConfigError: an argument can not work; nothing was sent.
        """
        from pybuildkit.subrequests.ask import ask_frontend

        settings = self._with_auth(options)
        return await ask_frontend(self._connected(), request, path, settings, carrier=self._carrier)

    async def check(self, path: str | os.PathLike[str] | FS = ".", **options: Unpack[BuildOptions]) -> Lint:
        """Check a Dockerfile without building it (V78).

        Neither warnings nor a Dockerfile that can not be built are errors here: they are what comes back.

        Args:
            path: as for ``build()``.
            **options: as for ``build()``, without those that export something.

        Raises:
            FrontendError: the frontend can not check.
            BuildError: something else failed; the subclass says how.
            ConfigError: an argument can not work; nothing was sent.
        """
        from pybuildkit.subrequests import Lint

        return Lint.read(await self.ask("frontend.lint", path, **options))

    async def outline(
        self, path: str | os.PathLike[str] | FS = ".", **options: Unpack[BuildOptions]
    ) -> Outline:
        """What a Dockerfile's target takes: arguments, secrets, agents, caches (V78).

        Args:
            path: as for ``build()``.
            **options: as for ``build()``, without those that export something; ``target=`` says which one.

        Raises:
            FrontendError: the frontend can not say, or can not read the Dockerfile.
            BuildError: something else failed; the subclass says how.
            ConfigError: an argument can not work; nothing was sent.
        """
        from pybuildkit.subrequests import Outline

        return Outline.read(await self.ask("frontend.outline", path, **options))

    async def targets(
        self, path: str | os.PathLike[str] | FS = ".", **options: Unpack[BuildOptions]
    ) -> Targets:
        """What a Dockerfile can build (V78).

        Args:
            path: as for ``build()``.
            **options: as for ``build()``, without those that export something.

        Raises:
            FrontendError: the frontend can not say, or can not read the Dockerfile.
            BuildError: something else failed; the subclass says how.
            ConfigError: an argument can not work; nothing was sent.
        """
        from pybuildkit.subrequests import Targets

        return Targets.read(await self.ask("frontend.targets", path, **options))

    async def describe(
        self, path: str | os.PathLike[str] | FS = ".", **options: Unpack[BuildOptions]
    ) -> Description:
        """What the frontend of a Dockerfile directory can be asked (V77).

        Args:
            path: as for ``build()``.
            **options: as for ``build()``, without those that export something.

        Raises:
            FrontendError: the frontend can not be asked anything.
            BuildError: something else failed; the subclass says how.
            ConfigError: an argument can not work; nothing was sent.
        """
        from pybuildkit.subrequests import Description

        return Description.read(await self.ask("frontend.subrequests.describe", path, **options))


class BlockingSubrequests:
    """Questions to the frontend of a Dockerfile directory; ``Client`` has the event loop they run in."""

    @property
    def _twin(self) -> Any:
        raise NotImplementedError

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def ask(
        self,
        request: str,
        path: str | os.PathLike[str] | FS = ".",
        **options: Unpack[BuildOptions],
    ) -> Answer:
        found: Answer = self._call(self._twin.ask, request, path, **options)
        return found

    def check(self, path: str | os.PathLike[str] | FS = ".", **options: Unpack[BuildOptions]) -> Lint:
        found: Lint = self._call(self._twin.check, path, **options)
        return found

    def outline(self, path: str | os.PathLike[str] | FS = ".", **options: Unpack[BuildOptions]) -> Outline:
        found: Outline = self._call(self._twin.outline, path, **options)
        return found

    def targets(self, path: str | os.PathLike[str] | FS = ".", **options: Unpack[BuildOptions]) -> Targets:
        found: Targets = self._call(self._twin.targets, path, **options)
        return found

    def describe(
        self, path: str | os.PathLike[str] | FS = ".", **options: Unpack[BuildOptions]
    ) -> Description:
        found: Description = self._call(self._twin.describe, path, **options)
        return found


borrow_texts(BlockingSubrequests, SubrequestCalls)

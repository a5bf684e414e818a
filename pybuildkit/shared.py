"""One session for several builds: its directories are sent once, however many of them read these (S18 to S20).

Each build still has a session of its own for its results, so nothing of one build can get into another's. The daemon is
told for each directory which session has it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from anyio import to_thread

from pybuildkit.errors import ConfigError

if TYPE_CHECKING:
    from pybuildkit.fsutil import FS
    from pybuildkit.plan import Ingredients
    from pybuildkit.registry.opener import AuthOpener
    from pybuildkit.rpc.channel import Channel
    from pybuildkit.session.carrier import CarrierFactory

__all__ = ["SharedSession", "open_shared", "shared_session"]

_SESSION_ATTR = "local-sessionid:"
"""Before a directory's name, it tells a Dockerfile frontend which session has that directory (S19)."""


class SharedSession:
    """An open session for several builds; see ``AsyncClient.session``.

    What a build is given itself goes before what it has from here.
    """

    def __init__(self, session_id: str, made_of: Ingredients) -> None:
        self._id = session_id
        self._made_of = made_of

    @property
    def id(self) -> str:
        """What the daemon knows it by: for ``llb.local(name, session=...)``, so that graphs share its directories too."""
        return self._id

    @property
    def locals(self) -> Mapping[str, FS]:
        """The trees that it has, by name."""
        return self._made_of.locals

    @property
    def auth(self) -> AuthOpener | None:
        """What opens registries for its builds, None for what the client has."""
        return self._made_of.offers.auth

    def lend(self, build: Ingredients) -> None:
        """Add what this session has to what a build is made of."""
        mine = self._made_of
        build.locals = {**mine.locals, **build.locals}
        build.secrets = {**mine.secrets, **build.secrets}
        build.offers.agents = {**mine.offers.agents, **build.offers.agents}

    def claim(self, build: Ingredients) -> None:
        """Have a frontend take the directories from this session that are the same in the build."""
        if build.frontend:
            for name, tree in self.locals.items():
                if build.locals.get(name) == tree:
                    build.attrs.setdefault(_SESSION_ATTR + name, self._id)

    def __repr__(self) -> str:
        """With what it has."""
        return f"SharedSession({self._id!r}, locals={sorted(self.locals)})"


def shared_session(value: object) -> SharedSession:
    """What a build is given as ``session=``.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(value, SharedSession):
        return value
    raise ConfigError(
        f"session= can not be {type(value).__name__}: give what `async with client.session(...)` gives"
    )


@asynccontextmanager
async def open_shared(
    channel: Channel, options: Mapping[str, Any], *, carrier: CarrierFactory | None = None
) -> AsyncGenerator[SharedSession, None]:
    """Open a session for as long as the block lasts.

    Args:
        channel: to the daemon.
        options: see ``SessionOptions``.
        carrier: what carries the session; the channel when None.

    Raises:
        ConfigError: an argument can not work.
        SessionError, ConnectionLost: the session broke.
    """
    from pybuildkit.plan import shared_key
    from pybuildkit.planning import session_ingredients
    from pybuildkit.session.filesync import FileSync
    from pybuildkit.session.session import Session

    made = await to_thread.run_sync(session_ingredients, options)
    key = await to_thread.run_sync(shared_key, made)
    session = Session([FileSync(made.locals)] if made.locals else [], shared_key=key)
    async with session.open(channel, bulk=carrier):
        yield SharedSession(session.id, made)

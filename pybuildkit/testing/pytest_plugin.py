"""The pytest plugin: ``buildkitd``, a daemon for the test run, and clients of it.

It is loaded in every pytest run where pybuildkit is installed, so it imports nothing before a fixture is used.
Under pytest-xdist each worker has a daemon of its own: one starts in a fraction of a second, and tests that
prune or fill a cache then do not meet those of other workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from pybuildkit.client import AsyncClient
    from pybuildkit.sync import Client
    from pybuildkit.testing.service import BuildkitdOptions, BuildkitdService

__all__ = ["buildkit", "buildkit_client", "buildkitd", "buildkitd_options"]


@pytest.fixture(scope="session")
def buildkitd_options() -> BuildkitdOptions:
    """How the daemon is chosen and set up; override this in your ``conftest.py`` to change it."""
    from pybuildkit.testing.service import BuildkitdOptions

    return BuildkitdOptions()


@pytest.fixture(scope="session")
def buildkitd(buildkitd_options: BuildkitdOptions) -> Generator[BuildkitdService]:
    """A daemon for the whole run: ``$BUILDKIT_HOST``, else a container, else a binary; skips without one."""
    from pybuildkit.testing.service import NoBuildkitd, running_buildkitd

    try:
        with running_buildkitd(buildkitd_options) as service:
            yield service
    except NoBuildkitd as exc:
        pytest.skip(str(exc))


@pytest.fixture
async def buildkit(buildkitd: BuildkitdService) -> AsyncGenerator[AsyncClient]:
    """A connected ``AsyncClient``, for tests that anyio's plugin runs.

    With pytest-asyncio in strict mode write ``async with buildkitd.client() as buildkit:`` in the test.
    """
    async with buildkitd.client() as client:
        yield client


@pytest.fixture
def buildkit_client(buildkitd: BuildkitdService) -> Generator[Client]:
    """A connected ``Client``, for tests that are not async."""
    with buildkitd.blocking_client() as client:
        yield client

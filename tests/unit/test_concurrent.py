"""Several calls at once, and their errors."""

from __future__ import annotations

from functools import partial

import anyio
import anyio.lowlevel
import pytest

from pybuildkit._concurrent import run_all

pytestmark = pytest.mark.anyio


async def test_all_run_at_the_same_time() -> None:
    met = anyio.Event()
    done: list[int] = []

    async def wait() -> None:
        await met.wait()
        done.append(1)

    async def meet() -> None:
        met.set()
        await anyio.lowlevel.checkpoint()
        done.append(2)

    await run_all([wait, meet])
    assert sorted(done) == [1, 2]
    await run_all([])


async def test_the_first_error_comes_out_as_it_is() -> None:
    """No group around it, and the others are cancelled."""
    cancelled: list[bool] = []

    async def fail(error: Exception) -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)

    with pytest.raises(KeyError):
        await run_all([wait, partial(fail, KeyError()), partial(fail, ValueError())])
    assert cancelled == [True]

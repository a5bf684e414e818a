"""The shield that imports anyio only where somebody may be in one of its scopes."""

from __future__ import annotations

import subprocess
import sys

import anyio
import pytest

from pybuildkit._shielding import shield


@pytest.mark.anyio
async def test_waits_in_it_are_not_cancelled() -> None:
    went_on = False
    with anyio.CancelScope() as scope:
        scope.cancel()
        with shield():
            await anyio.sleep(0.001)
            went_on = True
        await anyio.sleep(1)
        raise AssertionError("the scope is cancelled")
    assert went_on


def test_nothing_is_imported_for_it() -> None:
    program = (
        "import asyncio, sys\n"
        "from pybuildkit._shielding import shield\n"
        "async def main():\n"
        "    with shield():\n"
        "        await asyncio.sleep(0)\n"
        "asyncio.run(main())\n"
        "assert not [name for name in sys.modules if name.startswith('anyio')]\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

"""Ends that must not be cut short by a cancel scope of anyio's, without importing anyio where there can be none."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext

__all__ = ["shield"]


def shield() -> AbstractContextManager[object]:
    """Waits in the block are not cancelled from outside, by scopes of anyio's; asyncio's own cancels are not held up.

    A scope needs anyio's backend: where that is not there yet, nobody is in one.
    """
    if "anyio._backends._asyncio" not in sys.modules:
        return nullcontext()
    import anyio

    return anyio.CancelScope(shield=True)

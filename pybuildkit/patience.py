"""How long a build's Status is read after its Solve has ended (T16)."""

from __future__ import annotations

from pybuildkit.errors import BuildKitError, ConnectionLost

__all__ = ["CANCEL_PATIENCE", "REFUSED_PATIENCE", "STATUS_PATIENCE", "status_patience"]

STATUS_PATIENCE = 5.0
"""Seconds without news after which Status is given up, once Solve has returned."""

CANCEL_PATIENCE = 1.0
"""The same after a cancel: the daemon only has to say which vertices it stopped."""

REFUSED_PATIENCE = 0.5
"""The same for a request that failed before any vertex was heard of."""


def status_patience(error: BuildKitError | None, *, cancelled: bool, heard: bool) -> float:
    """Seconds without news after which Status is given up.

    Args:
        error: how Solve failed, None when it went well or was cancelled.
        cancelled: it was cancelled from here.
        heard: Status has told of a vertex.
    """
    if error is None and not cancelled:
        return STATUS_PATIENCE
    if isinstance(error, ConnectionLost):  # nobody is there to tell more
        return 0
    if cancelled:
        return CANCEL_PATIENCE
    # A request that was refused outright has no job, and Status would look for one for six seconds (W5).
    return STATUS_PATIENCE if heard else REFUSED_PATIENCE

"""The questions as methods of ``Client``: same names, same arguments."""

# ruff: noqa: D102 - methods have their twins' texts

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Unpack

from pybuildkit._portal import borrow_texts
from pybuildkit.questions import SubrequestCalls

if TYPE_CHECKING:
    from pybuildkit.fsutil import FS
    from pybuildkit.options import BuildOptions
    from pybuildkit.subrequests import Answer, Description, Lint, Outline, Targets

__all__ = ["BlockingSubrequests"]


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

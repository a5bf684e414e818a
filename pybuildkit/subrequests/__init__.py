"""Questions to a frontend: what is wrong with a Dockerfile, what it takes, what it can build (V77 to V80)."""

from __future__ import annotations

from pybuildkit.subrequests.lint import Lint, LintError, LintWarning
from pybuildkit.subrequests.outline import Argument, CacheMount, Outline, SecretUse, SSHUse
from pybuildkit.subrequests.places import Place
from pybuildkit.subrequests.requests import Answer, Description, Named, Request
from pybuildkit.subrequests.targets import Target, Targets

__all__ = [
    "Answer",
    "Argument",
    "CacheMount",
    "Description",
    "Lint",
    "LintError",
    "LintWarning",
    "Named",
    "Outline",
    "Place",
    "Request",
    "SSHUse",
    "SecretUse",
    "Target",
    "Targets",
]

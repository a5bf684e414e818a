"""A private buildkitd: started for one program, and gone with it."""

from __future__ import annotations

from pybuildkit.daemon.binary import MissingRequirement, find_buildkitd
from pybuildkit.daemon.config import Mirrors, Network, ServerTLS
from pybuildkit.daemon.process import Buildkitd

__all__ = ["Buildkitd", "Mirrors", "MissingRequirement", "Network", "ServerTLS", "find_buildkitd"]

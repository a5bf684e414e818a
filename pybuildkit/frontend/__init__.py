r"""Frontends in Python: an async function that a ``# syntax=`` line names, run by buildkitd in a container.

::

    from pybuildkit import llb
    from pybuildkit.frontend import Gateway, frontend

    @frontend
    async def hello(gateway: Gateway) -> llb.State:
        return llb.scratch().mkfile("/hello", "Hello\n")

    if __name__ == "__main__":
        hello.run()
"""

from __future__ import annotations

from pybuildkit.frontend.current import current_frontend
from pybuildkit.frontend.define import Frontend, frontend
from pybuildkit.frontend.inputs import Inputs
from pybuildkit.frontend.namedcontext import BaseImage
from pybuildkit.frontend.request import Request
from pybuildkit.frontend.sourcefile import SourceFile
from pybuildkit.frontend.subrequests import subrequest_result
from pybuildkit.gateway.gateway import Gateway
from pybuildkit.gateway.imageconfig import image_config
from pybuildkit.gateway.results import GatewayResult

__all__ = [
    "BaseImage",
    "Frontend",
    "Gateway",
    "GatewayResult",
    "Inputs",
    "Request",
    "SourceFile",
    "current_frontend",
    "frontend",
    "image_config",
    "subrequest_result",
]

"""Make an image of the frontend, and push it.

python examples/frontend/build.py registry.example/python-services:1

Then any client builds with it: the first line of a file is ``# syntax=registry.example/python-services:1``.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from importlib import import_module
from pathlib import Path

import anyio

from pybuildkit import AsyncClient, llb
from pybuildkit.frontend import Frontend, GatewayResult, image_config
from pybuildkit.outputs import Image

HERE = Path(__file__).resolve().parent
MODULES = ("anyio", "idna", "pybuildkit", "sniffio", "typing_extensions", "yaml")
"""What the frontend imports, and what that imports; no grpc and no protobuf is among it."""
LEFT_OUT = ("**/__pycache__", "**/*.so", "pybuildkit/_pb", "pybuildkit/cli", "pybuildkit/testing")


def library() -> llb.State:
    """The modules, taken from the Python that runs this: nothing need be fetched, and versions are the tested ones."""
    state = llb.scratch()
    for name in MODULES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:  # one that only older versions of the others need
            continue
        file = Path(spec.origin)
        folder, pattern = (
            (file.parents[1], f"{name}/**") if spec.submodule_search_locations else (file.parent, file.name)
        )
        modules = llb.local(folder, include=[pattern], exclude=LEFT_OUT)
        state = state.copy(modules, "/", "/lib", contents_only=True, create_dest_path=True)
    program = llb.local(HERE, include=["services/*.py"])
    return state.copy(program, "/services", "/lib/services", contents_only=True, create_dest_path=True)


def compiled(base: llb.State) -> llb.State:
    """The library with compiled files, which hold whatever times the image's files get."""
    python = base.run(
        ["python3", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/lib-python/lib"],
        mounts={"/lib-python": library()},
        name="compile",
    )
    return python["/lib-python"]


async def build(client: AsyncClient, name: str, base: str = "python:3-slim", *, push: bool = True) -> str:
    """Build the image; returns its digest."""
    services: Frontend = import_module("services").services
    async with client.gateway(outputs=Image(name, push=push)) as gateway:
        found = await gateway.resolve_image(base)
        python = llb.image(found.ref, config=found.config)
        files = await gateway.solve(
            python.copy(compiled(python), "/lib", "/opt/frontend", contents_only=True, create_dest_path=True)
        )
        config = image_config(
            base=found.config,
            env={"PYTHONPATH": "/opt/frontend"},
            entrypoint=["python3", "-m", "services"],
            labels=services.labels,
        )
        result = await gateway.finish(GatewayResult.image(files.single, config))
    return str(result.metadata["containerimage.digest"])


async def main() -> None:
    """Read the arguments, and build."""
    parser = argparse.ArgumentParser(description="Make an image of the frontend, and push it.")
    parser.add_argument("name", help="the image's name, as registry.example/python-services:1")
    parser.add_argument(
        "--base", default="python:3-slim", help="an image with Python 3.11 or later [python:3-slim]"
    )
    args = parser.parse_args()
    async with AsyncClient() as client:
        print(await build(client, args.name, args.base))


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    anyio.run(main)

"""A service that builds: three builds at once through one client, each with typed events.

python examples/service/service.py
"""

from __future__ import annotations

import anyio

from pybuildkit import AsyncClient
from pybuildkit.events import Log, VertexCompleted
from pybuildkit.fsutil import MemoryTree
from pybuildkit.outputs import Local
from pybuildkit.result import Result

DOCKERFILE = b"""\
FROM busybox AS work
ARG NAME
RUN echo "building $NAME" && mkdir /result && echo "hello $NAME" > /result/greeting
FROM scratch
COPY --from=work /result /
"""


async def build_one(client: AsyncClient, name: str, results: dict[str, Result]) -> None:
    """Build one greeting; the Dockerfile never touches the disk."""
    async with client.stream(
        MemoryTree({"Dockerfile": DOCKERFILE}), build_args={"NAME": name}, outputs=Local(f"out/{name}")
    ) as build:
        async for event in build:
            match event:
                case VertexCompleted(name=step, cached=cached, duration=took):
                    print(f"{name}: {'CACHED' if cached else f'{took:.2f}s'} {step}")
                case Log(data=data):
                    print(f"{name}: | {data.decode(errors='replace').rstrip()}")
        results[name] = await build.result()


async def main() -> None:
    """Run three builds side by side."""
    results: dict[str, Result] = {}
    async with AsyncClient() as client, anyio.create_task_group() as tasks:
        for name in ("ada", "grace", "margaret"):
            tasks.start_soon(build_one, client, name, results)
    for name, result in sorted(results.items()):
        print(f"{name}: build {result.ref} took {result.duration:.1f}s")


if __name__ == "__main__":
    anyio.run(main)

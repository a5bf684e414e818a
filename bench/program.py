"""What a program that uses the library is: a client, one Dockerfile build, and its end.

``python program.py KIND ADDRESS FLAG...``: which client, and the build's flags as ``buildctl build`` has them.
"""

import sys
from typing import Any


def options(flags: list[str]) -> dict[str, Any]:
    """Arguments of ``solve()`` for the flags."""
    found: dict[str, Any] = {"frontend": "dockerfile.v0", "attrs": {}, "locals": {}, "outputs": []}
    for flag in flags:
        name, _, value = flag.partition("=")
        key, _, content = value.partition("=")
        if name == "--local":
            found["locals"][key] = content
        elif name == "--opt":
            found["attrs"][key] = content
        elif name == "--output":
            found["outputs"].append(value)
    return found


def blocking(address: str, flags: list[str]) -> None:
    """Without an event loop."""
    from pybuildkit import Client

    with Client(address) as client:
        client.solve(**options(flags))


def waiting(address: str, flags: list[str], *, own_session: bool | None) -> None:
    """With one."""
    import asyncio

    from pybuildkit import AsyncClient

    async def main() -> None:
        async with AsyncClient(address, own_session=own_session) as client:
            await client.solve(**options(flags))

    asyncio.run(main())


if __name__ == "__main__":
    _, kind, address, *flags = sys.argv
    if kind == "blocking":
        blocking(address, flags)
    else:
        waiting(address, flags, own_session=False if kind == "shared" else None)

"""Cached solves of one graph through one client; prints the seconds of each round as JSON.

``python -m bench.solveclient ADDRESS ROUNDS CONCURRENCY < definition``, the twin of ``tools/cmd/solvebench``. None at once is one
at a time by the blocking client.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import anyio

from pybuildkit import AsyncClient, Client


async def measure(address: str, rounds: int, concurrency: int, definition: bytes) -> list[float]:
    """Each round starts so many solves at once and waits for all; the first ones are not counted, as in the twin."""
    seconds = []
    warm = max(1, min(50, 100 // concurrency))
    async with AsyncClient(address) as client:
        for number in range(rounds + warm):
            start = time.perf_counter()
            async with anyio.create_task_group() as tasks:
                for _ in range(concurrency):
                    tasks.start_soon(client.solve, definition)
            if number >= warm:
                seconds.append(time.perf_counter() - start)
    return seconds


def measure_blocking(address: str, rounds: int, definition: bytes) -> list[float]:
    """One solve after the other."""
    seconds = []
    with Client(address) as client:
        for number in range(rounds + 50):
            start = time.perf_counter()
            client.solve(definition)
            if number >= 50:
                seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Measure and print."""
    address, rounds, concurrency = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    definition = sys.stdin.buffer.read()
    if concurrency:
        seconds = asyncio.run(measure(address, rounds, concurrency, definition))
    else:
        seconds = measure_blocking(address, rounds, definition)
    print(json.dumps(seconds))


if __name__ == "__main__":
    main()

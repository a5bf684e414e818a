"""One measurement of our side, in a process of its own: ``python -m bench.llb.measure OPS [ROUNDS]``.

It prints what ``tools/cmd/llbbench`` prints: the seconds of every round, the head's digest, the bytes of all ops and the
peak resident memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time

from bench.llb.graph import graph


def main(ops: int, rounds: int) -> None:
    build: list[float] = []
    marshal: list[float] = []
    for _ in range(rounds):
        start = time.perf_counter()
        state = graph(ops)
        built = time.perf_counter()
        definition = state.marshal(platform="linux/amd64", unique_id="bench")
        done = time.perf_counter()
        build.append(built - start)
        marshal.append(done - built)
    report = {
        "ops": ops,
        "build": build,
        "marshal": marshal,
        "head": definition.head,
        "bytes": sum(map(len, definition.ops)),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1)

"""A graph in Python, written to standard output for ``pybuildkit solve``.

python examples/graph/graph.py | pybuildkit solve -o type=local,dest=out
"""

from __future__ import annotations

import sys

from pybuildkit import llb


def graph() -> llb.State:
    """Two steps that run side by side, and a directory with what both made."""
    base = llb.image("busybox")
    words = base.run("echo hello from python > /out/words", mounts={"/out": llb.scratch()})
    numbers = base.run("seq 1 3 > /out/numbers", mounts={"/out": llb.scratch()})
    return llb.merge(words["/out"], numbers["/out"])


if __name__ == "__main__":
    sys.stdout.buffer.write(graph().marshal().to_bytes())

"""All benchmarks, one after the other: ``python -m bench [NAME ...]``."""

from __future__ import annotations

import subprocess
import sys

NAMES = ("context", "session", "solve", "llb")


def main(names: list[str]) -> int:
    """Run those that are named, all by default."""
    for name in names or NAMES:
        if name not in NAMES:
            print(f"there is no benchmark {name!r}; there are {', '.join(NAMES)}", file=sys.stderr)
            return 2
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"bench.{name}"], check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Build contexts beside buildctl: ``python -m bench.context [--rounds 5] [--disk] [--scale 1]``.

The short one of ``bench.session``: 20,000 files of 1 to 2 KB, cold; the same again, unchanged; one file of 1 GiB.
"""

from __future__ import annotations

import argparse

from bench.pairs import print_table
from bench.session import Rows
from bench.setting import running_daemon, workspace
from bench.sides import Daemon


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--disk", action="store_true", help="keep the daemon's root on disk, not in memory")
    parser.add_argument("--scale", type=float, default=1.0, help="of numbers of files and of sizes")
    args = parser.parse_args()
    with workspace(in_memory=not args.disk) as folder, running_daemon(folder) as daemon:
        rows = Rows(Daemon(daemon), folder, args.rounds, args.scale)
        table = [rows.cold(), rows.unchanged(), rows.big()]
    print_table(f"Contexts, daemon {'on disk' if args.disk else 'in memory'}", table)


if __name__ == "__main__":
    main()

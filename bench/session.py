"""What a build sends and receives, beside buildctl: ``python -m bench.session [--rounds 5] [--disk] [--scale 1] [ROW ...]``.

Whole processes on one daemon, in turn: our command line; a program with ``Client``; one with ``AsyncClient``; the
same with everything on one connection of the client's (as behind a balancer); and buildctl. Cold means that the daemon has
nothing of the tree: before each run it forgets what the last one left. Rows by name: cold, unchanged, changed, big, middle, export,
tar, contexts.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.pairs import Row, print_table, take_turns
from bench.setting import running_daemon, workspace
from bench.sides import BUILDCTL, OURS, Daemon, context_flags
from bench.trees import change_files, many_files, one_file


class Rows:
    """The rows; each makes its own tree and leaves nothing behind.

    Args:
        daemon: where the builds run.
        folder: where trees and results go.
        rounds: how many runs of each side count.
        scale: of numbers of files and of sizes, 1 for the real thing.
    """

    def __init__(self, daemon: Daemon, folder: Path, rounds: int, scale: float) -> None:
        self._daemon = daemon
        self._folder = folder
        self._rounds = rounds
        self._files = max(10, round(20_000 * scale))
        self._size = max(1 << 20, round((1 << 30) * scale))

    def _measure(self, name: str, flags: Callable[[], list[str]], *, cold: bool = False) -> Row:
        return take_turns(
            name, self._rounds, self._daemon.sides(flags), before=self._daemon.forget if cold else None
        )

    @contextmanager
    def _tree(self, name: str) -> Iterator[Path]:
        path = self._folder / name
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            self._daemon.forget()

    def cold(self) -> Row:
        """Small files that the daemon has not got."""
        with self._tree("many") as tree:
            many_files(tree, self._files)
            return self._measure(
                f"{self._files} files of 1 to 2 KB, cold", lambda: context_flags(tree), cold=True
            )

    def unchanged(self) -> Row:
        """Small files that it has."""
        with self._tree("many") as tree:
            many_files(tree, self._files)
            return self._measure("the same, unchanged", lambda: context_flags(tree))

    def changed(self) -> Row:
        """Small files of which it lacks ten."""
        seeds = itertools.count()

        def flags() -> list[str]:
            change_files(tree, 10, next(seeds))
            return context_flags(tree)

        with self._tree("many") as tree:
            many_files(tree, self._files)
            return self._measure("the same, 10 files changed", flags)

    def big(self) -> Row:
        """One big file."""
        with self._tree("big") as tree:
            one_file(tree, self._size)
            name = f"one file of {self._size >> 20} MiB, cold"
            return self._measure(name, lambda: context_flags(tree), cold=True)

    def middle(self) -> Row:
        """Files that are neither small nor big."""
        count = max(2, self._files // 10)
        with self._tree("middle") as tree:
            many_files(tree, count, 500_000, 500_000)
            return self._measure(f"{count} files of 500 KB, cold", lambda: context_flags(tree), cold=True)

    def export(self) -> Row:
        """A result's small files into a directory."""
        with self._tree("many") as tree, self._tree("out") as out:
            many_files(tree, self._files)

            def flags() -> list[str]:
                shutil.rmtree(out, ignore_errors=True)
                return [*context_flags(tree), f"--output=type=local,dest={out}"]

            return self._measure(f"local export of {self._files} files", flags)

    def tar(self) -> Row:
        """A result as an image in a file."""
        with self._tree("big") as tree, self._tree("image") as image:
            one_file(tree, self._size)

            def flags() -> list[str]:
                shutil.rmtree(image, ignore_errors=True)
                image.mkdir()
                return [*context_flags(tree), f"--output=type=oci,dest={image}/image.tar"]

            return self._measure(f"oci export of {self._size >> 20} MiB into a tar file", flags)

    def contexts(self) -> Row:
        """Eight directories at the same time."""
        count = max(2, self._files // 8)
        with self._tree("eight") as tree:
            names = [f"c{number}" for number in range(8)]
            for name in names:
                many_files(tree / name, count)
            copies = "".join(f"COPY --from={name} . /{name}/\n" for name in names)
            tree.joinpath("Dockerfile").write_text(f"FROM scratch\n{copies}")

            def flags() -> list[str]:
                found = [
                    "--frontend=dockerfile.v0",
                    f"--local=dockerfile={tree}",
                    f"--local=context={tree / 'c0'}",
                ]
                for name in names:
                    found += [f"--local={name}={tree / name}", f"--opt=context:{name}=local:{name}"]
                return found

            return self._measure(f"8 contexts of {count} files at the same time, cold", flags, cold=True)


NAMES = ("cold", "unchanged", "changed", "big", "middle", "export", "tar", "contexts")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--disk", action="store_true", help="keep the daemon's root on disk, not in memory")
    parser.add_argument("--scale", type=float, default=1.0, help="of numbers of files and of sizes")
    args = parser.parse_args()
    unknown = [name for name in args.rows if name not in NAMES]
    if unknown:
        parser.error(f"there is no row {unknown[0]!r}; there are {', '.join(NAMES)}")
    rows: list[Row] = []
    with workspace(in_memory=not args.disk) as folder, running_daemon(folder) as daemon:
        measure = Rows(Daemon(daemon), folder, args.rounds, args.scale)
        for name in args.rows or NAMES:
            rows.append(getattr(measure, name)())
            row = rows[-1]
            ratios = ", ".join(f"{row.ratio(side):.2f}" for side in OURS)
            print(f"{row.name}: {ratios} of {BUILDCTL}", flush=True)
    print_table(f"The session, daemon {'on disk' if args.disk else 'in memory'}", rows)


if __name__ == "__main__":
    main()

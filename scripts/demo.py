"""``make demo``: build examples/hello with a private buildkitd, and show what came back.

The daemon's state stays in ``.tools/demo``, so that a second run finds every step in the cache.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pybuildkit import Buildkitd, Client
from pybuildkit.errors import BuildKitError
from pybuildkit.outputs import Local
from pybuildkit.testing.images import busybox
from scripts.mirror import serving

ROOT = Path(__file__).resolve().parent.parent


def main(argv: list[str] | None = None) -> int:
    """Start a registry with a busybox image, a daemon that mirrors it, and build."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "out", help="where the files come to")
    parser.add_argument("--state", type=Path, default=ROOT / ".tools" / "demo", help="the daemon's folder")
    arguments = parser.parse_args(argv)
    # .tools/bin has the buildkitd that `make` built.
    os.environ["PATH"] = os.pathsep.join([str(ROOT / ".tools" / "bin"), os.environ.get("PATH", "")])
    try:
        with (
            serving({"library/busybox": busybox()}) as mirror,
            Buildkitd(root=arguments.state, mirrors={"docker.io": [mirror]}) as daemon,
            Client(daemon.address) as buildkit,
        ):
            print(f"buildkitd {buildkit.info().version} at {buildkit.address}")
            result = buildkit.build(
                ROOT / "examples" / "hello",
                build_args={"GREETING": "good day"},
                secrets={"token": b"a secret that is never written anywhere"},
                outputs=Local(arguments.out),
                progress="plain",
            )
    except BuildKitError as exc:
        print(f"demo: {exc}", file=sys.stderr)
        return 1
    print(f"\nbuild {result.ref} put these into {arguments.out}:")
    for path in sorted(arguments.out.rglob("*")):
        if path.is_file():
            print(f"--- {path.relative_to(arguments.out)}\n{path.read_text().rstrip()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

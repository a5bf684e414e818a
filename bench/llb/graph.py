"""The graph that is measured; ``tools/cmd/llbbench`` makes the same one, and the digests are compared."""

from __future__ import annotations

from pybuildkit import llb


def graph(ops: int) -> llb.State:
    """A chain of commands and file ops in turn: two variables, a cache and a source for every command."""
    src = llb.local(name="src", exclude=[".git"])
    state = llb.image("docker.io/library/debian:12").env(LANG="C.UTF-8").dir("/srv")
    for i in range(0, ops, 2):
        state = state.run(
            ["sh", "-c", f"make step-{i}"],
            env={"STEP": str(i), "JOBS": "4"},
            mounts={
                "/root/.cache": llb.cache(f"cache-{i % 5}", sharing="locked"),
                "/src": src.mount(readonly=True),
            },
        ).file(llb.mkdir(f"/srv/{i}", parents=True).mkfile(f"/srv/{i}/done", f"step {i}\n"))
    return state

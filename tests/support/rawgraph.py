"""Graphs for tests of the layers under ``llb``, from the generated messages: no library code that is under test."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pybuildkit._pb import ops_pb2

__all__ = ["RawGraph"]

BUSYBOX = "/usr/bin/busybox"


class RawGraph:
    """Ops in order; each method adds one and gives its digest."""

    def __init__(self) -> None:
        self._definition = ops_pb2.Definition()

    def add(self, op: ops_pb2.Op) -> str:
        data = op.SerializeToString(deterministic=True)
        getattr(self._definition, "def").append(data)
        return "sha256:" + hashlib.sha256(data).hexdigest()

    def busybox(self) -> str:
        """A root with ``/bin/busybox``: the host's static one, in the graph itself."""
        op = ops_pb2.Op()
        op.platform.OS, op.platform.Architecture = "linux", "amd64"
        for path in ("/bin", "/proc", "/sys", "/dev", "/tmp", "/run"):
            action = op.file.actions.add(input=-1, secondaryInput=-1, output=-1)
            action.mkdir.path, action.mkdir.mode, action.mkdir.makeParents = path, 0o755, True
            if len(op.file.actions) > 1:
                action.input = len(op.file.actions) - 2
        action = op.file.actions.add(input=len(op.file.actions) - 1, secondaryInput=-1, output=0)
        action.mkfile.path, action.mkfile.mode = "/bin/busybox", 0o755
        action.mkfile.data = Path(BUSYBOX).read_bytes()
        return self.add(op)

    def shell(
        self, root: str, script: str, *, secrets: tuple[str, ...] = (), ignore_cache: bool = True
    ) -> str:
        """Run a shell script; secrets are files in ``/run/secrets``."""
        op = ops_pb2.Op()
        op.platform.OS, op.platform.Architecture = "linux", "amd64"
        op.inputs.add(digest=root, index=0)
        op.exec.meta.args.extend(["/bin/busybox", "sh", "-c", script])
        op.exec.meta.cwd = "/"
        op.exec.meta.env.append("PATH=/bin")
        op.exec.mounts.add(input=0, dest="/", output=0)
        for name in secrets:
            mount = op.exec.mounts.add(input=-1, dest=f"/run/secrets/{name}", output=-1)
            mount.mountType = ops_pb2.SECRET
            mount.secretOpt.ID, mount.secretOpt.mode = name, 0o400
        digest = self.add(op)
        if ignore_cache:
            self._definition.metadata[digest].ignore_cache = True
        return digest

    def local(self, name: str, *, session: str = "") -> str:
        """A local directory, to be synced by the solve's session, or by that one."""
        op = ops_pb2.Op()
        op.source.identifier = f"local://{name}"
        if session:
            op.source.attrs["local.session"] = session
        return self.add(op)

    def encode(self, result: str) -> bytes:
        """The definition whose result is that op's first output."""
        end = ops_pb2.Op()
        end.inputs.add(digest=result, index=0)
        self.add(end)
        return self._definition.SerializeToString(deterministic=True)

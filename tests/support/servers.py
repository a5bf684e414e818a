"""Small servers on loopback for tests: files over HTTP, git repositories, and SSH to reach them."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Files:
    """A web server's files, and the headers of the requests for them."""

    url: str
    requests: list[Mapping[str, str]] = field(default_factory=list)


@contextmanager
def serve_files(files: Mapping[str, bytes], token: str = "") -> Generator[Files]:
    """Files over HTTP by path, only with that Authorization header if one is given."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.requests.append(dict(self.headers))
            data = files.get(self.path)
            if token and self.headers.get("Authorization") != token:
                self.send_error(401)
                return
            if data is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *words: object) -> None:
            pass

    with _served(Handler) as port:
        served = Files(f"http://127.0.0.1:{port}")
        yield served


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Generator[int]:
    """A web server in a thread; gives its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def git(folder: Path, *words: str) -> str:
    """Run git without anybody's settings."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_DATE": "2001-02-03T04:05:06Z",
        "GIT_COMMITTER_DATE": "2001-02-03T04:05:06Z",
    }
    names = ["-c", "user.name=Test", "-c", "user.email=test@example.test", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *names, *words], cwd=folder, env=env, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def make_repository(folder: Path, files: Mapping[str, str]) -> str:
    """A repository with one commit on ``main`` and the tag ``v1``; gives the commit."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "first")
    git(folder, "tag", "v1")
    return git(folder, "rev-parse", "HEAD")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def _running(command: list[str], port: int, log: Path) -> Generator[None]:
    """A server, from when it listens to when it is stopped."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{command[0]} does not listen: {log.read_text()}") from None
                time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def serve_git(root: Path, log: Path) -> Generator[str]:
    """The repositories below a folder by ``git://``; gives the address of the folder."""
    port = free_port()
    program = Path(git(root, "--exec-path")) / "git-daemon"
    command = [
        str(program),
        "--listen=127.0.0.1",
        f"--port={port}",
        f"--base-path={root}",
        "--export-all",
        str(root),
    ]
    with _running(command, port, log):
        yield f"git://127.0.0.1:{port}"


@contextmanager
def serve_git_over_http(root: Path, login: str) -> Generator[str]:
    """The repositories below a folder by ``http://``, for who has that ``user:password``; gives the host and port."""
    wanted = "basic " + base64.b64encode(login.encode()).decode()
    program = Path(git(root, "--exec-path")) / "git-http-backend"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            scheme, _, given = self.headers.get("Authorization", "").partition(" ")
            if f"{scheme.lower()} {given}" != wanted:
                self.send_response(401)
                self.send_header("WWW-Authenticate", "Basic")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            path, _, query = self.path.partition("?")
            env = {
                "PATH": os.environ["PATH"],
                "HOME": str(root),
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": path,
                "QUERY_STRING": query,
            }
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            answer = subprocess.run([program], env=env, input=body, check=True, capture_output=True).stdout
            head, _, data = answer.partition(b"\r\n\r\n")
            self.wfile.write(b"HTTP/1.0 200 OK\r\n" + head + b"\r\n\r\n" + data)

        do_POST = do_GET

        def log_message(self, *words: object) -> None:
            pass

    with _served(Handler) as port:
        yield f"127.0.0.1:{port}"


@dataclass(frozen=True)
class SSHServer:
    """An SSH server that lets one key in."""

    address: str
    known_hosts: str
    key: Path


@contextmanager
def serve_ssh(folder: Path) -> Generator[SSHServer]:
    """SSH on loopback for the user that runs the tests, with keys of its own."""
    program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert program is not None
    port = free_port()
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    Path("/run/sshd").mkdir(exist_ok=True)
    options = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "yes",
    }
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    with _running([program, "-D", "-e", "-f", "/dev/null", *words], port, folder / "sshd.log"):
        kind, public, *_ = (folder / "host.pub").read_text().split()
        known = f"[127.0.0.1]:{port} {kind} {public}"
        yield SSHServer(f"ssh://{os.environ.get('USER', 'root')}@127.0.0.1:{port}", known, folder / "user")

"""A registry that only gives, out of memory: base images for a private daemon, without a network."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pybuildkit.testing.images import OCIImage

__all__ = ["serving"]


@contextmanager
def serving(images: Mapping[str, OCIImage]) -> Iterator[str]:
    """Serve images on loopback by their repository's name, as ``library/busybox``, under any tag.

    Gives the URL, as ``http://127.0.0.1:40001``.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, media_type, body = _answer(images, self.path.partition("?")[0])
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 - http.server names them

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="mirror", daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _answer(images: Mapping[str, OCIImage], path: str) -> tuple[int, str, bytes]:
    """Status, media type and body of a path of the distribution API."""
    if path == "/v2/":
        return 200, "application/json", b"{}"
    parts = path.removeprefix("/v2/").split("/")
    name, kind, wanted = "/".join(parts[:-2]), *parts[-2:]
    image = images.get(name)
    if image is None or kind not in ("manifests", "blobs"):
        return 404, "application/json", b"{}"
    digest = image.digest if kind == "manifests" and not wanted.startswith("sha256:") else wanted
    blob = image.blobs.get(digest)
    if blob is None:
        return 404, "application/json", b"{}"
    return 200, image.media_type if kind == "manifests" else "application/octet-stream", blob

"""Serves a site's artefact folder, read-only, on loopback: browsers refuse file:// links from the UI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread


class ArtefactPortTaken(RuntimeError):
    """Another program has the artefact port."""


class _Quiet(SimpleHTTPRequestHandler):
    """GET and HEAD only (the base class knows no more), nothing logged."""

    def log_message(self, format: str, *args: object) -> None:
        return

    def end_headers(self) -> None:
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()


@contextmanager
def serve_artefacts(folder: Path, port: int) -> Iterator[str]:
    """Serves ``folder`` on 127.0.0.1 while the block runs, and gives its address. Raises ArtefactPortTaken."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Quiet, directory=str(folder)))
    except OSError as error:
        raise ArtefactPortTaken(f"port {port} on 127.0.0.1 is taken ({error.strerror}); set artefact_port in the site file") from error
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

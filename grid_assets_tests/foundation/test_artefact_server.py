"""The artefact server: loopback, read-only, never outside its folder."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from grid_assets.artefact_server import ArtefactPortTaken, serve_artefacts


def ask(address: str, method: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_serves_files_and_nothing_else(tmp_path: Path):
    folder = tmp_path / "artefacts"
    folder.mkdir()
    (folder / "page.html").write_text("<h1>settled</h1>")
    (tmp_path / "secret.txt").write_text("secret")
    with serve_artefacts(folder, 0) as address:
        assert address.startswith("http://127.0.0.1:")
        assert ask(address, "GET", "/page.html") == (200, b"<h1>settled</h1>")
        assert ask(address, "GET", "/../secret.txt")[0] == 404
        assert ask(address, "GET", "/%2e%2e/secret.txt")[0] == 404
        assert ask(address, "PUT", "/page.html")[0] == 501
        assert ask(address, "DELETE", "/page.html")[0] == 501
    assert (folder / "page.html").exists()


def test_a_taken_port_is_named(tmp_path: Path):
    with serve_artefacts(tmp_path, 0) as address:
        port = int(address.rsplit(":", 1)[1])
        with pytest.raises(ArtefactPortTaken, match=f"port {port} on 127.0.0.1 is taken"), serve_artefacts(tmp_path, port):
            pass

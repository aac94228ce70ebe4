"""An analyst's journey through the real Dagster UI in headless Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from grid_assets_tests.conftest import PROJECT, SHARED

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`grid-assets ui` of the demo site on an empty state, as an analyst would start it."""
    state = tmp_path_factory.mktemp("ui")
    port = free_port()
    site = state / "demo.toml"
    shipped = (PROJECT / "data" / "sites" / "demo.toml").read_text()
    site.write_text(
        shipped.replace('name = "demo"', f'name = "demo"\nartefact_port = {free_port()}', 1) if "artefact_port" not in shipped else shipped
    )
    environment = {**os.environ, "GRID_ASSETS_STATE": str(state), "GRID_ASSETS_SHARED": str(SHARED)}
    log = open(state / "ui.log", "w")  # noqa: SIM115 - closed below, when the process has ended
    command = [sys.executable, "-m", "grid_assets.cli", "ui", "--site", str(site), "--port", str(port)]
    server = subprocess.Popen(command, env=environment, cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        wait_until_served(f"http://127.0.0.1:{port}/server_info", server, state / "ui.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        log.close()


def wait_until_served(url: str, server: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        if server.poll() is not None:
            pytest.fail(f"grid-assets ui ended: {log.read_text()[-3000:]}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail(f"the UI did not answer within 120 s: {log.read_text()[-3000:]}")


@pytest.fixture(scope="module")
def page(address: str):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        made = browser.new_page(viewport={"width": 1600, "height": 1000})
        outside: list[str] = []
        made.on("request", lambda request: outside.append(request.url) if not request.url.startswith((address, "data:", "blob:")) else None)
        yield made
        browser.close()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the journey go: GRID_ASSETS_SCREENSHOTS, else a temporary folder."""
    chosen = os.environ.get("GRID_ASSETS_SCREENSHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder

"""An analyst's journey through the real Dagster UI in headless Chromium."""

from __future__ import annotations

import json
import os
import re
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
DAY = "2016-05-20"
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
    site.write_text(re.sub(r"artefact_port = \d+", f"artefact_port = {free_port()}", shipped))
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
def outside() -> list[str]:
    """What the pages asked of anyone but this machine."""
    return []


@pytest.fixture(scope="module")
def page(address: str, outside: list[str]):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        made = browser.new_page(viewport={"width": 1600, "height": 1000})
        made.on(
            "request",
            lambda request: None if request.url.startswith(("http://127.0.0.1", "data:", "blob:")) else outside.append(request.url),
        )
        yield made
        browser.close()


@pytest.fixture(scope="module")
def screenshots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the journey go: GRID_ASSETS_SCREENSHOTS, else a temporary folder."""
    chosen = os.environ.get("GRID_ASSETS_SCREENSHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def launch(page, address: str, job: str, day: str | None = None) -> None:
    """Launches a job from its page as an analyst does, for a day where it has days."""
    page.goto(f"{address}/locations/grid_assets/jobs/{job}")
    page.get_by_role("button", name="Materialize all").first.click(timeout=240_000)
    if day:
        page.get_by_placeholder("ex:").fill(day)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Launch 1 run").click(timeout=120_000)
    page.get_by_text("Launched run").first.wait_for(timeout=240_000)


def wait_for_success(address: str, job: str, seconds: int = 240) -> None:
    for _ in range(seconds):
        mine = [run for run in runs_of(address) if run["jobName"] == job]
        if mine and mine[0]["status"] == "SUCCESS":
            return
        if mine and mine[0]["status"] in ("FAILURE", "CANCELED"):
            pytest.fail(f"the run of {job} ended as {mine[0]['status']}")
        time.sleep(1)
    pytest.fail(f"the run of {job} did not succeed within {seconds} s: {runs_of(address)}")


def open_until(page, url: str, text: str, attempts: int = 5) -> None:
    """Opens a page until it shows a text: on a busy machine a request of the UI may be lost, and an analyst loads again."""
    from playwright.sync_api import TimeoutError

    for attempt in range(attempts):
        page.goto(url)
        try:
            page.get_by_text(text, exact=True).first.wait_for(timeout=45_000)
            return
        except TimeoutError:
            if attempt == attempts - 1:
                raise


def runs_of(address: str) -> list[dict]:
    """The runs that the UI's own GraphQL knows, newest first."""
    query = {"query": "{ runsOrError(limit: 20) { ... on Runs { results { jobName status } } } }"}
    request = urllib.request.Request(f"{address}/graphql", json.dumps(query).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)["data"]["runsOrError"]["results"]


def test_the_graph_shows_every_area(page, address: str, screenshots: Path):
    page.goto(f"{address}/asset-groups")
    for area in ("foundation", "metering", "weather", "forecasting", "network", "storage", "market", "demand_response", "reporting"):
        page.get_by_text(area, exact=True).first.wait_for(timeout=240_000)
    page.wait_for_timeout(1500)
    page.screenshot(path=screenshots / "graph.png")


def test_an_analyst_materialises_registers_and_then_a_day_of_readings(page, address: str, screenshots: Path):
    launch(page, address, "registers")
    wait_for_success(address, "registers")
    launch(page, address, "history", DAY)
    page.screenshot(path=screenshots / "launched.png")
    wait_for_success(address, "history")
    page.goto(f"{address}/assets/metering/readings?view=overview")
    page.get_by_text(DAY).first.wait_for(timeout=240_000)
    page.get_by_text("37,248").first.wait_for(timeout=240_000)  # 388 meters, 96 intervals
    page.get_by_text("energy in the interval", exact=False).first.wait_for()
    page.wait_for_timeout(1000)
    page.screenshot(path=screenshots / "readings.png", full_page=True)


def test_the_picture_of_the_day_is_shown(page, address: str, screenshots: Path):
    wait_for_success(address, "history", seconds=5)  # the test above made the day, in this UI; without it there is no picture to wait for
    open_until(page, f"{address}/assets/metering/readings?view=events&partition={DAY}", "picture")
    page.get_by_text("[Show Markdown]").first.click()
    shown = page.get_by_role("dialog").locator("img").first
    shown.wait_for(timeout=120_000)
    assert shown.evaluate("image => image.naturalWidth") > 400
    page.wait_for_timeout(500)
    page.screenshot(path=screenshots / "picture.png")


def test_nothing_was_asked_of_the_outside(outside: list[str]):
    assert outside == []

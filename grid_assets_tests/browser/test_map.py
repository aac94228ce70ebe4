"""The map of a study day in headless Chromium, from disk: what is drawn, and what the slider does."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid_assets.network.day_study import study_of_day
from grid_assets.network.pages import write_map
from grid_assets.network.study_frames import StudyFrames
from grid_assets_tests.browser.test_analyst import CHROMIUM, FLAGS
from grid_assets_tests.network.test_doors import DAY, seeded

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)"),
]

SHOWN = """() => {
    const drawn = document.getElementById("network");
    return {
        names: drawn.data.map(one => one.name),
        voltages: Array.from(drawn._fullData.find(one => one.name === "bus").marker.color),
        active: drawn.layout.sliders[0].active,
        labels: drawn.layout.sliders[0].steps.map(one => one.label),
        shapes: document.querySelectorAll("#network .scatterlayer path").length,
    };
}"""


def test_the_map_opens_from_disk_and_its_slider_shows_another_hour(tmp_path: Path):
    from playwright.sync_api import sync_playwright

    from grid_assets.forecasting.tables import DEMAND_FORECASTS, RENEWABLE_FORECASTS
    from grid_assets.foundation.registers import METERS, NODES, PLANTS
    from grid_assets.metering.tables import METER_DAYS

    platform = seeded(tmp_path, 30_000.0)
    lake, site = platform.lake, platform.site
    assert site.network
    given = StudyFrames(
        *(lake.read(table) for table in (METERS, NODES, PLANTS)), *(lake.read(table, DAY) for table in (DEMAND_FORECASTS, RENEWABLE_FORECASTS, METER_DAYS))
    )  # fmt: skip
    done = study_of_day(site.network, site.clock, DAY, given)
    page_file = write_map(done, site, tmp_path / "artefacts", "map.html", "a warm <day>")
    outside, errors = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.on("request", lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else outside.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(page_file.as_uri())
        page.wait_for_selector("#network .slider-rail-touch-rect", timeout=60_000)
        first = page.evaluate(SHOWN)
        rail = page.locator("#network .slider-rail-touch-rect").bounding_box()
        assert rail
        page.mouse.click(rail["x"] + 2, rail["y"] + rail["height"] / 2)
        page.wait_for_function("() => document.getElementById('network').layout.sliders[0].active === 0", timeout=30_000)
        page.wait_for_timeout(300)
        later = page.evaluate(SHOWN)
        browser.close()
    assert errors == outside == []
    assert len(first["labels"]) == 24
    assert first["labels"][first["active"]].endswith("(worst)")
    assert {"direction", "bus"} <= set(first["names"])
    assert any(name.startswith("open switch (") for name in first["names"])
    assert any(name.startswith("transformer (2)") for name in first["names"])
    assert first["shapes"] > 30
    voltages = done.study.bus_voltages.pivot(index="start_utc", columns="bus_id", values="vm_pu")[done.topology.buses["bus_id"]]
    worst = done.study.branch_loadings.loc[done.study.branch_loadings["loading_pct"].idxmax(), "start_utc"]
    assert first["voltages"] == pytest.approx(voltages.loc[worst].tolist(), abs=1e-9)
    assert later["voltages"] == pytest.approx(voltages.iloc[0].tolist(), abs=1e-9)
    assert later["voltages"] != pytest.approx(first["voltages"], abs=1e-6)

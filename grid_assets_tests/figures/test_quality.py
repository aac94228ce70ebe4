"""Pictures of quality, balances and alerts: of a usual day, of too much, of nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grid_assets.figures import quality
from grid_assets.metering.quality import balances

STARTS = pd.date_range("2026-03-02 23:00", periods=92, freq="15min", tz="UTC", name="start_utc")
ZONE = "Europe/Berlin"
PNG = b"\x89PNG"


def loads(nodes: int, meters: int = 10) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"node_id": f"n{n:03d}", "start_utc": STARTS, "meters": meters, "valid_pct": 97.0 - n / 10}) for n in range(nodes)
    ]
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("made", [loads(3), loads(120), loads(2, meters=0)], ids=["few", "many", "without meters"])
def test_nodes_have_their_picture(made):
    assert quality.node_quality_picture(made, 95.0, ZONE, "a day").startswith(PNG)
    assert quality.node_quality_picture(made, 100.0, ZONE, "a day").startswith(PNG)


@pytest.mark.parametrize("count", [0, 1, 30])
def test_worst_meters_have_their_picture(count):
    worst = pd.DataFrame(
        {
            "meter_id": [f"m{n}" for n in range(count)],
            "valid_pct": 50.0,
            "flags": [None, "negative stuck"] * (count // 2) + [None] * (count % 2),
        }
    )
    qualities = np.full((count, len(STARTS)), "estimated", object)
    assert quality.worst_meters_picture(worst, qualities, STARTS, 1000, ZONE, "a day").startswith(PNG)


def flows(nodes: int, known: bool = True) -> pd.DataFrame:
    parts = []
    for n in range(nodes):
        measured = np.linspace(50, 60 + n, len(STARTS)) if known else np.full(len(STARTS), np.nan)
        made = pd.DataFrame(
            {"node_id": f"n{n:02d}", "start_utc": STARTS, "measured_kwh": measured, "load_kwh": 55.0, "generation_kwh": 1.0}
        )
        parts.append(made.assign(residual_kwh=made["measured_kwh"] - 54.0))
    columns = ["node_id", "start_utc", "measured_kwh", "load_kwh", "generation_kwh", "residual_kwh"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)


@pytest.mark.parametrize("made", [flows(0), flows(1), flows(40), flows(2, known=False)], ids=["none", "one", "many", "unknown"])
def test_balances_have_their_picture(made):
    assert quality.balances_picture(made, balances.day_balances(made), 10.0, ZONE, 15, "a day").startswith(PNG)


@pytest.mark.parametrize("count", [0, 1, 100])
def test_alerts_have_their_picture(count):
    begin, end = STARTS[0], STARTS[-1] + pd.Timedelta("15min")
    rows = [
        (
            kind,
            f"s{n}",
            begin + pd.Timedelta(hours=n % 30 - 4),
            None if n % 3 else begin + pd.Timedelta(hours=n % 30),
            severity,
            "seen " * (n % 60),
        )
        for n, kind, severity in zip(range(count), [*quality.KINDS] * 25, ["critical", "warning", "information"] * 34, strict=False)
    ]
    frame = pd.DataFrame(rows, columns=["kind", "subject", "opened_utc", "closed_utc", "severity", "evidence"])
    frame["closed_utc"] = pd.to_datetime(frame["closed_utc"], utc=True)
    assert quality.alerts_picture(frame, (begin, end), ZONE, "a day").startswith(PNG)

"""Whether the world has changed: forecasts that miss to one side for days, or whose bands hold too little, against how they used to do."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date, timedelta

import numpy as np
import pandas as pd

from grid_assets.forecasting.tables import DRIFT
from grid_assets.foundation.alerts import FoundAlert
from grid_assets.foundation.calendar import SiteCalendar

WATCHED_DAYS = 14
"""The alarm looks at so many days ..."""
REFERENCE_DAYS, MINIMUM_REFERENCE_DAYS = 90, 21
"""... against those before them, and needs so many."""
ALLOWANCE, LIMIT = 1.0, 5.0
"""Page's k and h, in standard deviations of a day's mean miss. Twice the usual k: the misses of real days hang together. Chosen on a real
substation's 2019, where half an allowance raised eight alarms without a known reason and this one."""
LARGEST_MISS = 4.0
"""One day counts at most so much: a holiday alone is no drift."""
SMALLEST_DEVIATION_PCT = 0.5
BAND_PCT, STANDARD_ERRORS, LEAST_SHORTFALL_PCT = 90.0, 3.0, 10.0
"""Bands alarm when the fortnight's mean coverage lies so many standard errors, and so much, below what they promise."""
REST_DAYS = 14
"""After a retraining the next one waits."""
DAY_AHEAD = "day_ahead"
ENSEMBLE = "ensemble"
"""The only model that outlives a day: the others are fitted anew each morning as it is."""


def drift(accuracy: pd.DataFrame, day: date, retrained: Mapping[str, Collection[date]]) -> pd.DataFrame:
    """Rows of DRIFT of ``day``, a subject each, from rows of forecasting/forecast_accuracy of it and the days before.

    Day-ahead forecasts count. Their daily mean misses, less the reference days' median and in their standard deviations, go into two one-sided
    cumulative sums (Page 1954) over the last fortnight; coverage is compared as a mean of days. ``retrained``: days from which
    on a subject's models were fitted anew already.
    """
    known = accuracy[(accuracy["horizon_class"] == DAY_AHEAD) & (accuracy["day"] <= day)]
    known = known[known["day"] > day - timedelta(days=WATCHED_DAYS + REFERENCE_DAYS)]
    rows = [_subject(str(name), one.sort_values("day"), day, retrained.get(str(name), ())) for name, one in known.groupby("subject_id")]
    return pd.DataFrame([row for row in rows if row], columns=DRIFT.columns)


def _subject(name: str, rows: pd.DataFrame, day: date, retrained: Collection[date]) -> dict | None:
    if not (rows["day"] == day).any():
        return None
    days = rows["day"].to_numpy()
    # the miss by which the load is higher than was forecast
    missed, held = -rows["bias_pct"].to_numpy(float), rows["coverage_90_pct"].to_numpy(float)
    first = day - timedelta(days=WATCHED_DAYS - 1)
    recent, reference = days >= first, days < first
    made = {"subject_id": name, "day": day, "reference_days": int((reference & np.isfinite(missed)).sum()), "retrain": False}
    if made["reference_days"] < MINIMUM_REFERENCE_DAYS:
        return made | _nothing("learning", f"{made['reference_days']} days to compare with; {MINIMUM_REFERENCE_DAYS} are needed")
    usual, deviation = _usual(missed[reference & np.isfinite(missed)])
    # against the usual miss: a forecast that is always too low is biased, which has a check of its own, but nothing has changed
    scores = np.clip(np.nan_to_num(missed[recent] - usual) / deviation, -LARGEST_MISS, LARGEST_MISS)
    up, began_up = cumulative_sum(scores)
    down, began_down = cumulative_sum(-scores)
    coverage = float(np.nanmean(held[recent]))
    bound = coverage_bound(held[reference], int(np.isfinite(held[recent]).sum()))
    alarm, since, evidence = "none", None, f"{coverage:.0f} % inside the 90 % band, {missed[-1]:+.1f} % on the last day"
    if max(up, down) > LIMIT:
        alarm, began = ("level_up", began_up) if up > down else ("level_down", began_down)
        since = days[recent][began]
        evidence = (
            f"since {since} the load is {'higher' if up > down else 'lower'} against its forecast than usual: "
            f"{np.nanmean(missed[recent][began:]):+.1f} % in the mean, before it was {usual:+.1f} %, a usual day's deviation is {deviation:.1f} %"
        )
    elif coverage < bound:
        alarm, since = "coverage", first
        evidence = f"{coverage:.0f} % of the last {WATCHED_DAYS} days lay inside the 90 % band; under {bound:.0f} % is no chance"
    rested = all(day + timedelta(days=1) - one >= timedelta(days=REST_DAYS) for one in retrained)
    return made | {
        "cusum_up": up, "cusum_down": down, "deviation_pct": deviation, "coverage_pct": coverage, "coverage_bound_pct": bound,
        "alarm": alarm, "since": since, "evidence": evidence, "retrain": alarm != "none" and rested and rows["model"].iloc[-1] == ENSEMBLE,
    }  # fmt: skip


def _nothing(alarm: str, evidence: str) -> dict:
    empty = dict.fromkeys(("cusum_up", "cusum_down", "deviation_pct", "coverage_pct", "coverage_bound_pct"), np.nan)
    return empty | {"alarm": alarm, "since": None, "evidence": evidence}


def _usual(missed: np.ndarray) -> tuple[float, float]:
    """Median and robust standard deviation of the reference days' misses [days], per cent."""
    usual = float(np.median(missed))
    return usual, max(float(1.4826 * np.median(np.abs(missed - usual))), SMALLEST_DEVIATION_PCT)


def cumulative_sum(scores: np.ndarray) -> tuple[float, int]:
    """Page's sum max(0, S + z - k) over the days, at its end, and the position where it last left zero."""
    total, began = 0.0, 0
    for n, score in enumerate(scores):
        began = n if total == 0.0 else began
        total = max(0.0, total + float(score) - ALLOWANCE)
    return total, min(began, max(len(scores) - 1, 0))


def coverage_bound(reference: np.ndarray, days: int) -> float:
    """What the mean coverage of so many days should not fall below, per cent: days cluster, so that their own spread counts."""
    spread = float(np.nanstd(reference)) / np.sqrt(max(days, 1))
    return BAND_PCT - max(STANDARD_ERRORS * spread, LEAST_SHORTFALL_PCT)


def found_alerts(rows: pd.DataFrame, clock: SiteCalendar) -> list[FoundAlert]:
    """The alarms as the store of alerts takes them: open, each from the day on which its run of misses began."""
    return [
        FoundAlert(
            f"forecast_drift {one.subject_id} {one.since}", "forecast_drift", str(one.subject_id), clock.midnight(one.since), None,
            "warning", str(one.evidence),
        )
        for one in rows.itertuples()
        if one.alarm not in ("none", "learning")
    ]  # fmt: skip


def retrainings(rows: pd.DataFrame) -> dict[str, list[date]]:
    """Subject -> the days of issue from which on its models are fitted anew, from rows of DRIFT of many days."""
    asked = rows[rows["retrain"].astype(bool)] if len(rows) else rows
    return {str(name): sorted(day + timedelta(days=1) for day in one["day"]) for name, one in asked.groupby("subject_id")}

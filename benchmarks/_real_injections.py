"""How many copied and filled readings are found: days of real meters are overwritten as people do it, and looked at."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd

from benchmarks._real_gaps import DayMatrixes
from grid_assets.metering.quality import copied_days

SEED = 20261121
SAMPLED_DAYS = 6
HOURS = (4, 8, 12, 24)
KINDS = ("mean", "line")
"""mean: the energy spread evenly, in whole Wh; line: from the value before to the one after, in whole Wh."""


def found_pct(held: DayMatrixes) -> pd.DataFrame:
    """What was put in (kind), for how many hours, and in how many per cent of the meters something was found; copy: days of a week before."""
    drawn = np.random.default_rng(SEED)
    days = [day for day in held.days if held.fit(day, 1)]
    chosen = [days[n] for n in drawn.choice(len(days), SAMPLED_DAYS, replace=False)]
    rows = [("copy", 24, day, _copies(held, day)) for day in chosen]
    for hours in HOURS:
        length = round(hours / held.hours)
        for day in chosen:
            kwh = held.days[day]
            begin = drawn.integers(0, kwh.shape[1] - length + 1, len(kwh))
            rows += [(kind, hours, day, _fills(kwh, begin, length, kind)) for kind in KINDS]
    made = pd.DataFrame(rows, columns=["kind", "hours", "day", "found"])
    return (100 * made.groupby(["kind", "hours"])["found"].mean()).rename("found_pct").reset_index()


def _copies(held: DayMatrixes, day) -> float:
    before = day - timedelta(days=7)
    meters = [str(n) for n in range(len(held.days[day]))]
    kwh = {before: held.days[before], day: held.days[before].copy()}
    totals = {one: pd.DataFrame({"meter_id": meters, "energy_kwh": values.sum(axis=1), "valid_intervals": 1, "expected_intervals": 1})
              for one, values in kwh.items()}  # fmt: skip
    found = copied_days.copied_days(day, totals[day], [(before, totals[before])], lambda one, ids: kwh[one][[int(n) for n in ids]])
    return len(found) / len(meters)


def _fills(kwh: np.ndarray, begin: np.ndarray, length: int, kind: str) -> float:
    made = kwh.copy()
    for row, first in enumerate(begin):
        end = first + length
        if kind == "mean":
            standing = np.rint(np.linspace(0, 1000 * kwh[row, first:end].sum(), length + 1))
            made[row, first:end] = np.diff(standing) / 1000
        else:
            edges = kwh[row, max(first - 1, 0)], kwh[row, min(end, kwh.shape[1] - 1)]
            made[row, first:end] = np.rint(1000 * np.linspace(*edges, length + 2)[1:-1]) / 1000
    return len(set(copied_days.filled_stretches(made)["row"])) / len(kwh)

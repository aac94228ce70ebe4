"""Unusual consumption: each load meter's day against its own last weeks, ranked by evidence.

Evidence is in robust standard deviations (median and MAD, Hampel 1974) of the logarithm of a figure of the day, after what its class of
customers did on that day is taken out (median polish, Tukey 1977): a cold day makes nobody unusual. The last few days are looked at
together as well as the day alone, so that a lasting change adds up (a one-sided sum as in CUSUM charts, Page 1954).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.metering.quality.day_matrices import DayMatrices
from grid_assets.metering.tables import USAGE_ANOMALIES, USAGE_SHAPES

HISTORY_DAYS = 28
LEAST_DAYS = 7
"""So many earlier days with enough valid readings must be there, or a meter is not judged."""
MOST_RECENT_DAYS = 7
LEAST_VALID_PCT = 80.0
LEAST_DEVIATION = 0.1
"""Of a logarithm, about ten per cent: a meter that hardly ever varies is not unusual for a little."""
DAY_TO_DAY = 0.2
"""Correlation of a meter's deviations on following days: several days say less than as many independent ones."""
CLASS_METERS = 20
"""A class of fewer meters is no measure of what the day did to everybody."""
IDLE_DEVIATION = 1.0
"""Of a logarithm, of a meter that rests on most days, such as a car charger's: it is unusual only by much."""
REST_SHARE = 0.05
"""Of a meter's usual value: below it, differences do not count, so that an empty house is not infinitely unusual."""
NIGHT_HOURS = (1, 5)
MAD, TENTHS = 1.4826, 2.563
"""What makes a median absolute deviation, and a span between the outer tenths, a normal distribution's standard deviation."""
MATERIAL = 0.1
"""More at night counts where it is this share of the usual day."""
FLAT = 0.15
"""A day is flat where its powers deviate by less than this share of their mean."""
PRIOR_DAYS = 4
REGISTER_DEVIATIONS = 3.0
"""A difference to the register as large as is tolerated counts as so many deviations."""


def usage_shapes(shard: DayMatrices, day: date, local: pd.DatetimeIndex, interval_hours: float) -> pd.DataFrame:
    """Rows of USAGE_SHAPES for the load meters of a shard; ``local``: the intervals' starts on the site's clock."""
    load = (shard.meters["kind"] == "load").to_numpy()
    energy = shard.energy_kwh[load]
    valid = (shard.is_quality("measured") | shard.is_quality("edited"))[load]
    power = np.where(valid, energy, np.nan) / interval_hours
    night = np.asarray((local.hour >= NIGHT_HOURS[0]) & (local.hour < NIGHT_HOURS[1]))
    mean = _mean(power)
    spread = np.sqrt(np.maximum(_mean((power - mean[:, None]) ** 2), 0))
    meters = shard.meters[load]
    with np.errstate(invalid="ignore", divide="ignore"):
        variation = np.where(np.abs(mean) > 0, spread / np.abs(mean), np.nan)
    return pd.DataFrame(
        {
            "meter_id": meters["meter_id"].to_numpy(), "day": day, "customer_class": meters["customer_class"].to_numpy(),
            "energy_kwh": np.nansum(energy, axis=1), "valid_pct": 100.0 * valid.mean(axis=1) if valid.size else np.zeros(len(energy)),
            "night_kw": _mean(power[:, night]), "variation": variation,
        },
        columns=USAGE_SHAPES.columns,
    )  # fmt: skip


def usage_anomalies(
    today: pa.Table, past: Sequence[pa.Table], meter_days: pd.DataFrame, register_tolerance_pct: float, listed: int,
    unmeasured: pd.DataFrame | None = None,
) -> pd.DataFrame:  # fmt: skip
    """The ``listed`` most unusual meters of the day (USAGE_ANOMALIES), the strongest evidence first.

    ``today``, ``past``: USAGE_SHAPES of the day and of earlier days, the oldest first; ``meter_days``: METER_DAYS of the day;
    ``unmeasured``: copied days and filled stretches (unmeasured_days.evidence_of_day). A meter is told once, by its strongest
    pattern; one whose readings nobody measured by that, for it is the cause of the others.
    """
    ids = today["meter_id"].to_numpy(zero_copy_only=False)
    days = [*past[-HISTORY_DAYS:], today]
    classes = today["customer_class"].to_numpy(zero_copy_only=False)
    judged = _by_meter(days, ids, "valid_pct") >= LEAST_VALID_PCT
    energy = np.where(judged, _by_meter(days, ids, "energy_kwh"), np.nan)
    found = []
    signed, over = _evidence_of_size(energy, classes)
    found += [_candidates("high_usage", ids, signed, over), _candidates("low_usage", ids, -signed, over)]
    night = np.where(judged, _by_meter(days, ids, "night_kw"), np.nan)
    signed, over = _evidence_of_size(night, classes)
    more = (night[:, -1] - _median(night[:, :-1])) * (NIGHT_HOURS[1] - NIGHT_HOURS[0])
    found.append(_candidates("night_usage", ids, np.where(more > MATERIAL * np.abs(_mean(energy[:, :-1])), signed, 0.0), over))
    variation = np.where(judged, _by_meter(days, ids, "variation"), np.nan)
    signed, over = evidence(np.log(variation + REST_SHARE), classes)
    found.append(_candidates("flat", ids, np.where(variation[:, -1] < FLAT, -signed, 0.0), over))
    usual = pd.Series(_median(energy[:, :-1]), index=ids)
    found.append(_register_mismatches(meter_days, register_tolerance_pct))
    if unmeasured is not None and len(unmeasured):
        found = [one[~one["meter_id"].isin(unmeasured["meter_id"])] for one in found] + [unmeasured]
    rows = pd.concat([one for one in found if len(one)] or found[:1], ignore_index=True).sort_values(
        ["evidence", "meter_id"], ascending=[False, True], kind="stable"
    )
    rows = rows.drop_duplicates("meter_id").head(listed).reset_index(drop=True)
    return _told(rows, meter_days, usual)


def evidence(values: np.ndarray, classes: np.ndarray, least: np.ndarray | float = LEAST_DEVIATION) -> tuple[np.ndarray, np.ndarray]:
    """(meters,) how unusual the last column is, with its sign, in robust standard deviations; and over how many days it is so.

    ``values``: (meters, days), NaN where a day is not judged; ``classes``: the class of each meter; ``least``: the smallest deviation
    that is believed. 0 where a meter has
    no value on the last day or fewer than LEAST_DAYS before.
    """
    size = values.shape[1]
    usual = _median(values)
    rest, moves = values - usual[:, None], np.tanh(np.abs(usual))[:, None]  # an idle meter does not follow the weather
    class_of, names = pd.factorize(classes)
    for one in range(len(names)):
        own = np.flatnonzero(class_of == one)
        if len(own) >= CLASS_METERS:
            rest[own] -= np.nan_to_num(_median(rest[own].T)) * np.nan_to_num(moves[own])
    best, over = np.zeros(len(values)), np.ones(len(values), int)
    for days in range(1, min(MOST_RECENT_DAYS, size - LEAST_DAYS) + 1):
        before, recent = rest[:, : size - days], rest[:, size - days :]
        centre = _median(before)
        known, seen = (~np.isnan(before)).sum(axis=1), (~np.isnan(recent)).sum(axis=1)
        deviation = np.maximum(_deviations(before - centre[:, None], known), least)
        weight = np.sqrt(np.maximum(seen, 1) / (1 + DAY_TO_DAY * (np.maximum(seen, 1) - 1)))
        score = (_mean(recent) - centre) / deviation * weight
        together = (np.sign(recent - centre[:, None]) == np.sign(score)[:, None]).sum(
            axis=1
        ) == seen  # all on one side, or no lasting change
        usable = (known >= LEAST_DAYS) & (seen == days) & together & ~np.isnan(rest[:, -1])
        better = usable & (np.abs(np.nan_to_num(score)) > np.abs(best))
        best, over = np.where(better, score, best), np.where(better, days, over)
    return best, over


def _evidence_of_size(values: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The evidence of energies or powers, by their logarithms."""
    logs = _signed_log(values)
    return evidence(logs, classes, np.where(np.abs(np.nan_to_num(_median(logs))) < 1.0, IDLE_DEVIATION, LEAST_DEVIATION))


def _deviations(rest: np.ndarray, known: np.ndarray) -> np.ndarray:
    """(meters,) robust standard deviation of each row. Few days can look alike by chance, so a meter's own deviation counts with its
    days, and what is usual of all meters with PRIOR_DAYS more. Small-sample factor n/(n-0.8): Croux and Rousseeuw 1992.

    The MAD of a meter that rests on most days (a car charger) is nothing: the span from the 10th to the 90th percentile counts
    where it is far wider.
    """
    ordered, row = np.sort(rest, axis=1), np.arange(len(rest))  # NaN last
    tenth = np.floor(0.1 * known).astype(int)
    span = ordered[row, np.clip(known - 1 - tenth, 0, rest.shape[1] - 1)] - ordered[row, np.minimum(tenth, rest.shape[1] - 1)]
    middle, outer = MAD * _median(np.abs(rest)), span / TENTHS
    own = np.where(outer > 2 * middle, outer, middle) * known / np.maximum(known - 0.8, 1)
    all_of_them = _median(own[None, known >= LEAST_DAYS])[0] if (known >= LEAST_DAYS).any() else 0.0
    return np.sqrt((known * own**2 + PRIOR_DAYS * np.nan_to_num(all_of_them) ** 2) / (known + PRIOR_DAYS))


def _signed_log(values: np.ndarray) -> np.ndarray:
    """A logarithm that knows zero and negative values: of each meter's values against a small part of its usual size."""
    usual = np.maximum(np.fmax(_median(np.abs(values)), _mean(np.abs(values))), 1e-3)  # the mean: of a meter that often rests
    return np.arcsinh(values / (2 * REST_SHARE * usual[:, None]))


def _candidates(pattern: str, ids: np.ndarray, deviations: np.ndarray, over: np.ndarray) -> pd.DataFrame:
    at = np.flatnonzero(deviations > 0)
    return pd.DataFrame({"meter_id": ids[at], "pattern": pattern, "evidence": deviations[at], "over": over[at]})


def _register_mismatches(meter_days: pd.DataFrame, tolerance_pct: float) -> pd.DataFrame:
    both = meter_days.dropna(subset=["register_kwh"])
    both = both[(both["register_kwh"].abs() > 0) & (both["kind"] == "load")]
    off = 100.0 * (both["energy_kwh"] - both["register_kwh"]).abs() / both["register_kwh"].abs()
    score = REGISTER_DEVIATIONS * off / tolerance_pct
    beyond = off > tolerance_pct
    return pd.DataFrame({"meter_id": both["meter_id"][beyond], "pattern": "register_mismatch", "evidence": score[beyond], "over": 1})


def _told(rows: pd.DataFrame, meter_days: pd.DataFrame, usual: pd.Series) -> pd.DataFrame:
    """The listed rows with their energy and the evidence in words."""
    own = meter_days.set_index("meter_id").loc[rows["meter_id"]].reset_index()
    of_like_days = own["usual_kwh"].astype(float)
    own["usual_kwh"] = of_like_days.where(of_like_days.notna(), usual.reindex(own["meter_id"]).to_numpy())
    words = [_words(one, day) for one, day in zip(rows.itertuples(), own.itertuples(), strict=True)]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(rows) + 1), "meter_id": rows["meter_id"], "node_id": own["node_id"], "day": own["day"],
            "pattern": rows["pattern"], "evidence": rows["evidence"].astype(float), "energy_kwh": own["energy_kwh"].astype(float),
            "usual_kwh": own["usual_kwh"].astype(float), "explanation": words,
        },
        columns=USAGE_ANOMALIES.columns,
    )  # fmt: skip


def _words(one, day) -> str:
    if isinstance(getattr(one, "explanation", None), str):
        return f"{one.explanation}; as unlikely as {one.evidence:.1f} standard deviations"
    since = "on this day" if one.over == 1 else f"for {one.over} days"
    against = ""
    if pd.notna(day.usual_kwh) and abs(day.usual_kwh) > 0:
        against = f" ({100 * (day.energy_kwh - day.usual_kwh) / abs(day.usual_kwh):+.0f} % against {day.usual_kwh:.1f} kWh)"
    said = {
        "high_usage": f"{day.energy_kwh:.1f} kWh, more than usual {since}{against}",
        "low_usage": f"{day.energy_kwh:.1f} kWh, less than usual {since}{against}",
        "night_usage": f"more than usual from {NIGHT_HOURS[0]} to {NIGHT_HOURS[1]} o'clock {since}; {day.energy_kwh:.1f} kWh in the day{against}",
        "flat": f"hardly any change over the day {since}; {day.energy_kwh:.1f} kWh{against}",
    }.get(one.pattern) or f"intervals add up to {day.energy_kwh:.1f} kWh, the register says {day.register_kwh:.1f} kWh"
    return f"{said}; {one.evidence:.1f} robust standard deviations, compared with its class"


def _by_meter(days: Sequence[pa.Table], ids: np.ndarray, column: str) -> np.ndarray:
    """(meters, days) a column of each day, NaN where a meter has none; ``ids``: the meters of the last day."""
    made, index = np.full((len(ids), len(days)), np.nan), None
    own = days[-1]["meter_id"]
    for n, table in enumerate(days):
        values = table[column].to_numpy(zero_copy_only=False).astype(float)
        if table["meter_id"].equals(own):
            made[:, n] = values
            continue
        index = pd.Index(ids) if index is None else index
        at = index.get_indexer(pd.Index(table["meter_id"].to_numpy(zero_copy_only=False)))
        made[at[at >= 0], n] = values[at >= 0]
    return made


def _median(values: np.ndarray) -> np.ndarray:
    """Median of each row over what is known; NaN where nothing is. A sort is many times quicker than np.nanmedian."""
    known = (~np.isnan(values)).sum(axis=1)
    if not values.size:
        return np.full(len(values), np.nan)
    ordered = np.sort(values, axis=1)  # NaN last
    row, upper = np.arange(len(values)), np.minimum(known // 2, values.shape[1] - 1)
    lower = np.maximum((known - 1) // 2, 0)
    return np.where(known > 0, (ordered[row, lower] + ordered[row, upper]) / 2, np.nan)


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean of each row over what is known; NaN where nothing is."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, values, 0).sum(axis=1) / np.maximum(count, 1), np.nan)

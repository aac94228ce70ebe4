"""What can be wrong with a published forecast, in words; "" where nothing is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.forecasting.scenarios import sums
from grid_assets.forecasting.tables import QUANTILE_COLUMNS
from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import ForecastingSection

LOWEST_COVERAGE_PCT = 70.0
JUDGED_DAYS, LEAST_JUDGED_DAYS, LEAST_BIAS_PCT = 28, 14, 2.0
TOLERANCE_KW = 1e-9
COHERENT_SHARE = 1e-6
MOST_APART_PCT = 25.0
"""Of the samples' 90 % band from the forecast's: children that are moved to add up to their parents lie a little apart from it."""


def gaps(
    forecasts: pd.DataFrame,
    subject: str,
    expected: Iterable[str],
    clock: SiteCalendar,
    day: date,
    last: date | None = None,
    issued: pd.Timestamp | None = None,
) -> str:
    """Subjects without every interval from the issue time of ``day`` (or ``issued``) to the end of the horizon (or of the day
    ``last``), missing numbers, crossing quantiles.
    """
    starts = clock.intervals(day, last or clock.horizon_day(day))
    starts = starts[starts >= (issued or pd.Timestamp(clock.issue_time(day)))]
    said = [f"{name} is not forecast" for name in sorted(set(expected) - set(forecasts[subject]))]
    for name, rows in forecasts.groupby(subject):
        missing = starts.difference(pd.DatetimeIndex(rows["start_utc"]))
        said += [f"{name}: {len(missing)} of {len(starts)} intervals missing, first {missing[0].isoformat()}"] if len(missing) else []
    numbers = forecasts[["mean_kw", *QUANTILE_COLUMNS]].to_numpy(float)
    empty = int((~np.isfinite(numbers)).any(axis=1).sum())
    said += [f"{empty} rows with a missing number"] if empty else []
    crossing = (np.diff(numbers[:, 1:], axis=1) < -TOLERANCE_KW).any(axis=1)
    said += (
        [f"{int(crossing.sum())} rows whose quantiles cross, first of {forecasts[subject].iloc[int(crossing.argmax())]}"]
        if crossing.any()
        else []
    )
    return "; ".join(said[:8])


def loses_to_naive(models: pd.DataFrame, subject: str | None) -> str:
    """Says so when the model of a subject (the system) was not kept; any subject for None."""
    rows = models if subject is None else models[models["subject_id"] == subject]
    lost = rows[~rows["beats_naive"].astype(bool)]
    return "; ".join(
        f"{row.subject_id}: {row.model} is published; on the last days the model missed by {row.backtest_mae_kw:.4g} kW, "
        f"the naive by {row.naive_mae_kw:.4g} kW"
        for row in list(lost.itertuples())[:5]
    )


def low_coverage(accuracy: pd.DataFrame) -> str:
    """Subjects of which the 90 % band held far too little of the day."""
    low = accuracy[(accuracy["coverage_90_pct"] < LOWEST_COVERAGE_PCT) & (accuracy["horizon_class"] == "day_ahead")]
    return "; ".join(f"{row.subject_id}: {row.coverage_90_pct:.0f} % of the day inside the 90 % band" for row in list(low.itertuples())[:8])


def drifted(drift: pd.DataFrame) -> str:
    """Subjects whose forecasts no longer do as they used to, and what was seen."""
    alarms = drift[~drift["alarm"].isin(["none", "learning"])]
    return "; ".join(f"{row.subject_id}: {row.evidence}" for row in list(alarms.itertuples())[:8])


def incoherent(scenarios: pd.DataFrame, parents: Mapping[str, str | None], metered: Collection[str]) -> str:
    """Samples with missing intervals or numbers, and nodes without meters of their own (``metered``) that are not the sum of their children."""
    if scenarios.empty:
        return ""
    said = []
    values = scenarios.pivot_table(index=["member", "start_utc"], columns="node_id", values="value_kw", dropna=False)
    empty = int((~np.isfinite(values.to_numpy(float))).sum())
    if empty or values.size != len(scenarios):
        said.append(f"{empty or abs(values.size - len(scenarios))} values are missing or there twice")
    for node, children in sums(parents, metered, list(values.columns)).items():
        apart = float(np.abs(values[node] - values[children].sum(axis=1)).max())
        if apart > COHERENT_SHARE * max(float(np.abs(values[node]).max()), 1.0):
            said.append(f"{node}: its children lie {apart:.4g} kW apart from it")
    return "; ".join(said[:8])


def does_not_add_up(meters: pd.DataFrame, coherent: pd.DataFrame, node_of: pd.Series, nodes: pd.DataFrame) -> str:
    """Nodes whose forecast is not the sum of those of the meters below. ``node_of``: meter_id -> node_id."""
    if meters.empty:
        return ""
    own = meters.assign(node_id=meters["meter_id"].map(node_of)).pivot_table(
        index="start_utc", columns="node_id", values="mean_kw", aggfunc="sum"
    )
    told = coherent.pivot_table(index="start_utc", columns="node_id", values="mean_kw")
    parents, total = dict(zip(nodes["node_id"], nodes["parent_id"], strict=True)), pd.DataFrame(0.0, index=told.index, columns=told.columns)
    for node in own.columns:
        here, seen = node, set()
        while here in total.columns and here not in seen:
            total[here] += own[node].reindex(total.index).to_numpy()
            seen.add(here)
            here = parents.get(here)
    apart = (total - told).abs().max()
    wrong = apart[apart > COHERENT_SHARE * np.maximum(told.abs().max(), 1.0)]
    return "; ".join(f"{node}: its meters add up to {value:.4g} kW beside it" for node, value in list(wrong.items())[:8])


@dataclass(frozen=True)
class Verdict:
    said: str
    """What was found, and whether it is judged at all."""
    fault: str
    """"" where nothing is wrong."""


def day_ahead_verdict(
    accuracy: pd.DataFrame, loads: pd.DataFrame, system: str | None, interval_hours: float, section: ForecastingSection
) -> Verdict:
    """Whether the system's mean day-ahead MAPE of the last days keeps the target; a verdict where it does not apply says why.

    ``loads``: node_id, energy_kwh of the newest day, by which the size of the system is told.
    """
    rows = accuracy[(accuracy["subject_id"] == system) & (accuracy["horizon_class"] == "day_ahead")]
    if system is None or rows.empty:
        return Verdict("not judged: no system node was forecast", "")
    mape, naive = float(rows["mape_pct"].mean()), float(rows["naive_mape_pct"].mean())
    mean_mw = float(loads.loc[loads["node_id"] == system, "energy_kwh"].mean()) / interval_hours / 1000.0
    scored = f"{system}: MAPE {mape:.2f} % over {len(rows)} days (weekly naive {naive:.2f} %)"
    told = f"{scored}, mean load {mean_mw:.3g} MW"
    if not np.isfinite(mape):
        return Verdict(f"not judged: {system} had no load at times, so that a percentage means nothing", "")
    if not np.isfinite(mean_mw):
        return Verdict(f"{scored}: not judged, for the load of the newest day, by which its size is told, is not known", "")
    if mean_mw < section.mape_judged_from_mw:
        return Verdict(
            f"{told}: not judged, for {section.mape_target_pct:g} % is asked of systems of {section.mape_judged_from_mw:g} MW and more", ""
        )
    if mape <= section.mape_target_pct:
        return Verdict(f"{told}: within {section.mape_target_pct:g} %", "")
    return Verdict(told, f"{told}: more than {section.mape_target_pct:g} %")


def biased(accuracy: pd.DataFrame) -> str:
    """Subjects whose day-ahead forecasts were too high or too low in the mean: by more than 2 % and three standard errors of their days."""
    said = []
    rows = accuracy[(accuracy["horizon_class"] == "day_ahead") & np.isfinite(accuracy["bias_pct"].astype(float))]
    for name, one in rows.groupby("subject_id"):
        bias, days = float(one["bias_pct"].mean()), len(one)
        if days >= LEAST_JUDGED_DAYS and abs(bias) > max(LEAST_BIAS_PCT, 3.0 * float(one["bias_pct"].std()) / np.sqrt(days)):
            said.append(f"{name}: {bias:+.1f} % in the mean of {days} days")
    return "; ".join(said[:8])


def unlike_forecast(scenarios: pd.DataFrame, forecasts: pd.DataFrame) -> str:
    """Nodes whose samples are surer or less sure than their forecast, or lie elsewhere: by the ends of the 90 % bands."""
    if scenarios.empty:
        return ""
    values = scenarios.pivot(index=["node_id", "start_utc"], columns="member", values="value_kw")
    # of n samples in their order the k-th stands for (k - 0.5) / n: by this rule samples that are drawn evenly give their band again
    low, high = np.quantile(values.to_numpy(float), (0.05, 0.95), axis=1, method="hazen")
    both = forecasts.merge(pd.DataFrame({"low": low, "high": high}, values.index).reset_index(), on=["node_id", "start_utc"])
    apart = np.abs(both[["low", "high"]].to_numpy(float) - both[["p05_kw", "p95_kw"]].to_numpy(float)).sum(axis=1)
    whole = pd.DataFrame({"apart": apart, "width": both["p95_kw"] - both["p05_kw"]}).groupby(both["node_id"]).sum()
    share = 100.0 * whole["apart"] / np.maximum(whole["width"], TOLERANCE_KW)
    odd = share[(share > MOST_APART_PCT) & (whole["apart"] > TOLERANCE_KW)].sort_values(ascending=False)
    return "; ".join(
        f"{node}: its samples' band ends lie {value:.0f} % of the band's width apart from the forecast's"
        for node, value in odd.head(8).items()
    )

"""The rows of `bench metering`: measurements and scores in words, against their targets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _detection as detection
from benchmarks._peer_rules import differences
from benchmarks.platform import Row, row
from grid_assets.simulation.synthetic_site import DayTruth, read_truth

__all__ = ["Row", "bound_rows", "day_rows", "detection_rows", "peer_rows", "row"]

READ_COLUMNS = ["meter_id", "start_utc", "energy_kwh", "quality", "method", "rule_failures", "error_kwh"]
WALL, MEMORY, CHECKS, STRETCH = 2.5, 1.7, 0.35, 1.3
LEAST_CAUGHT = {"gaps": 1.0, "negatives": 1.0, "stuck": 0.99, "spikes": 0.93, "undeclared_wh": 0.999, "zero_runs": 0.9}
MOST_REFUSED = {"clean_refused": 1e-5, "outages_refused": 0.0, "clock_flagged_wrongly": 1e-3}
TITLES = {
    "gaps": "gaps and offline days: not published as measured", "negatives": "negative energy caught", "stuck": "stuck values caught",
    "spikes": "spikes caught", "undeclared_wh": "meter-days in Wh unsaid: none published in Wh", "zero_runs": "faulty zero runs caught",
    "clean_refused": "sound readings refused", "outages_refused": "zeros of true outages refused", "exchanges": "meter exchanges: no energy made up",
    "rollovers_right": "intervals in which a register rolled over: right energy", "conflicts_right": "conflicting resends: the later value published",
    "local_clock": "meter-days with local time as UTC: under 5 % wrong values published",
    "clock_flagged": "meter-days with local time as UTC: flagged", "clock_flagged_wrongly": "meter-days on the right clock: flagged",
}  # fmt: skip
HARM, PROSUMER_WAPE = 1.25, 0.5
WH_VALUES = 8
"""So many values above the rating are no spikes."""


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def bound_rows(bounds: Sequence[Any]) -> list[Row]:
    """The bound: DuckDB's copy of all files that the day needs, measured before and after the platform's day."""
    said = ", ".join(f"{one.used.seconds:.1f}" for one in bounds)
    own = _mean([one.stages["day"]["seconds"] for one in bounds])
    rows = bounds[0].stages["day"]["rows"], bounds[0].stages["history"]["rows"]
    return [
        row(
            "bound: time",
            _mean([one.used.seconds for one in bounds]),
            "s",
            f"DuckDB, 2 threads, reads, sorts, writes {rows[0] + rows[1]:,} rows: {said}",
        ),
        row(
            "bound: processor",
            _mean([one.used.processor_seconds for one in bounds]),
            "s",
            f"the day's own {rows[0]:,} rows alone: {own:.1f} s of wall",
        ),
        row("bound: memory", _mean([one.used.peak_mib for one in bounds]), "MiB", "resident, the highest sample"),
    ]


def day_rows(bounds: Sequence[Any], made: Any, checked: Any) -> list[Row]:
    """The platform's day against the bound."""
    bound, processor = _mean([one.used.seconds for one in bounds]), _mean([one.used.processor_seconds for one in bounds])
    memory, own = _mean([one.used.peak_mib for one in bounds]), _mean([one.stages["day"]["seconds"] for one in bounds])
    used, stages = made.used, made.stages
    each = ", ".join(f"{name} {stage['seconds']:.1f} s" for name, stage in stages.items())
    ratio, heavier, vee = used.seconds / bound, used.peak_mib / memory, stages["readings"]["seconds"]
    checks = checked.stages["checks"]
    wrong = "; ".join(f"{name}: {fault}" for name, fault in checks["said"].items())
    return [
        row("a day, raw text files to readings: time", used.seconds, "s", each),
        row("a day against the bound: time", ratio, "x", f"stretch {STRETCH}: {'met' if ratio <= STRETCH else 'missed'}", f"<= {WALL}", ratio <= WALL),
        row("a day against the bound: processor", used.processor_seconds / processor, "x", f"{used.processor_seconds:.1f} s and {processor:.1f} s"),
        row("a day against the bound: memory", heavier, "x", f"{used.peak_mib:.0f} MiB and {memory:.0f} MiB", f"<= {MEMORY}", heavier <= MEMORY),
        row("validation and estimation alone, raw readings to readings", vee, "s", f"{vee / bound:.2f} x the bound, {vee / own:.2f} x the day's own copy"),
        row("checks against the bound", checks["seconds"] / bound, "x", f"{checks['seconds']:.1f} s", f"<= {CHECKS}", checks["seconds"] / bound <= CHECKS),
        row("checks that did not hold", len(checks["said"]), "checks", wrong[:300], "0", not checks["said"]),
    ]  # fmt: skip


def peer_rows(folder: Path, day: date, bounds: Sequence[Any], ours: Any, peers: dict[str, Any]) -> list[Row]:
    """pandas and polars on the base rules, which are all that a day without history has; a peer that differs is void."""
    import pyarrow.parquet as pq

    truth, readings = read_truth(folder, day), _readings(folder, day)
    left_out = _beyond_base_rules(folder, day, truth, readings)
    found = [row("first day, without history: the platform", ours.used.seconds, "s", f"{ours.used.peak_mib:.0f} MiB, {ours.used.processor_seconds:.1f} s of processor; all rules, quarantine and accounts in it")]  # fmt: skip
    bound = _mean([one.stages["day"]["seconds"] for one in bounds])
    for name, used in peers.items():
        cells, other = differences(readings, pq.read_table(folder / f"{name}.parquet"), left_out)
        said = f"{used.peak_mib:.0f} MiB, {used.processor_seconds:.1f} s of processor; {used.seconds / bound:.1f} x the copy of such a day"
        found.append(row(f"first day, base rules only: {name}", used.seconds, "s", said))
        told = f"of {cells:,}; {len(left_out)} meters of registers, plants, Wh and outages left out"
        found.append(row(f"readings that {name} makes otherwise", other, "readings", told, "0", not other))
    return found


def _beyond_base_rules(folder: Path, day: date, truth: DayTruth, readings: Any) -> list[str]:
    """Meters of which more than the base rules speak: registers, days in Wh (scaled or refused whole), and those with an outage event that day."""
    import pandas as pd
    import pyarrow.compute as pc

    scaled = readings.filter(pc.equal(readings["quality"], "edited"))["meter_id"].unique().to_pylist()
    events = pd.read_csv(folder / "outages" / "outages.csv", dtype=str)
    events = events[events["outage_id"].str.contains(f"{day:%Y%m%d}")]
    meters = pd.read_csv(folder / "registers" / "meters.csv", usecols=["meter_id", "node_id"])
    dark = meters.loc[meters["node_id"].isin(events["node_id"].dropna()), "meter_id"]
    in_wh = truth.meter_id[truth.had("undeclared_wh").any(axis=1)].tolist()
    above = readings.filter(pc.equal(pc.fill_null(readings["rule_failures"].cast("string"), ""), "above_rating"))["meter_id"].value_counts()
    scaled += [str(one["values"]) for one in above.to_pylist() if one["counts"] >= WH_VALUES]
    scaled += truth.meter_id[truth.customer_class == "generation"].tolist()
    return sorted({*truth.meter_id[truth.is_register].tolist(), *scaled, *in_wh, *events["meter_id"].dropna(), *dark})


def _readings(folder: Path, day: date) -> Any:
    from grid_assets.foundation.lake import Lake
    from grid_assets.metering.tables import READINGS

    return Lake(str(folder / "state" / "lake")).read_arrow(READINGS, day, READ_COLUMNS)


def _flagged(folder: Path, day: date, flag: str) -> np.ndarray:
    """(meters,): whether the meter's day has the flag; in the order of the ids."""
    from grid_assets.foundation.lake import Lake
    from grid_assets.metering.tables import METER_DAYS

    told = Lake(str(folder / "state" / "lake")).read(METER_DAYS, day).sort_values("meter_id")["flags"].fillna("")
    return told.astype(str).str.split().map(lambda flags: flag in flags).to_numpy(dtype=bool)


# -- detection --------------------------------------------------------------------------------------------------


def detection_rows(folder: Path, days: Sequence[date]) -> list[Row]:
    """What validation made of the last of ``days``; the ones before are its history, cleaned by the same rules."""
    truth = read_truth(folder, days[-1])
    made = detection.published(_readings(folder, days[-1]), truth)
    found = share_rows(detection.shares(truth, made))
    found += share_rows(detection.clock_shares(truth, _flagged(folder, days[-1], "shifted_clock")))
    found.append(history_row(np.concatenate([_left_of_wh(folder, day) for day in days])))
    earlier = np.any([read_truth(folder, day).had("undeclared_wh").any(axis=1) for day in days[:-1]], axis=0)
    found += harm_rows(*detection.harm_of(earlier & ~truth.had("undeclared_wh").any(axis=1), truth, made))
    by_class = detection.wape_by_class_and_method(truth, made)
    found += [_wape_row(name, method, *figures) for (name, method), figures in by_class.items()]
    for method, within, ratio, cells in detection.calibration(truth, made):
        found.append(row(f"standard error told of {method}: share of errors within it", within, "of 1", f"0.68 if normal; typical error / told {ratio:.2f}; {cells:,} estimates"))  # fmt: skip
    return found


def share_rows(shares: dict[str, detection.Share]) -> list[Row]:
    """A row for each kind of fault, against its target; a kind that the day has none of meets and misses nothing."""
    rows = []
    for name, one in shares.items():
        said = f"{one.caught:,} of {one.of:,}"
        if not one.of:
            rows.append(row(TITLES[name], "-", "of 1", "none that day"))
        elif name in LEAST_CAUGHT:
            rows.append(row(TITLES[name], one.share, "of 1", said, f">= {LEAST_CAUGHT[name]:g}", one.share >= LEAST_CAUGHT[name]))
        elif name in MOST_REFUSED:
            rows.append(row(TITLES[name], one.share, "of 1", said, f"<= {MOST_REFUSED[name]:g}", one.share <= MOST_REFUSED[name]))
        else:
            rows.append(row(TITLES[name], one.share, "of 1", said))
    return rows


def _left_of_wh(folder: Path, day: date) -> np.ndarray:
    truth = read_truth(folder, day)
    return detection.left_of_wh(truth, detection.published(_readings(folder, day), truth))


def history_row(left: np.ndarray) -> Row:
    """Whether days in Wh poison what later days are estimated from."""
    worst = float(left.max()) if len(left) else 1.0
    said = f"{int((left > HARM).sum())} of {len(left)} meter-days above {HARM}; all four days"
    return row("days in Wh unsaid: what stays as history against the truth, the worst", worst, "x", said, f"<= {HARM}", worst <= HARM)


def harm_rows(theirs: float, others: float, cells: int) -> list[Row]:
    """How estimates of meters that once sent Wh unsaid compare with those of others of their classes; too few to be held to a target."""
    ratio = theirs / others if others else float("nan")
    return [row("estimates of meters with a day in Wh among their like days", ratio, "x of others'", f"WAPE {theirs:.2f} of {cells} estimates, others' {others:.2f}")]  # fmt: skip


def _wape_row(name: str, method: str, figure: float, cells: int) -> Row:
    aimed = name == "prosumer" and method == "like_days"
    return row(f"WAPE of estimates: {name}, {method}", figure, "of 1", f"{cells:,} readings", f"<= {PROSUMER_WAPE}" if aimed else "", figure <= PROSUMER_WAPE if aimed else None)  # fmt: skip

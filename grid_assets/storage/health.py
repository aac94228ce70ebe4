"""The health of storage units day by day: use, temperatures, and what the ageing model makes of both."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

from grid_assets.foundation.alerts import FoundAlert
from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.registers import FOREVER
from grid_assets.foundation.site import Site
from grid_assets.foundation.site_sections import StorageSection
from grid_assets.optimisation import battery_ageing as ageing
from grid_assets.storage.tables import UNIT_HEALTH

RATE_DAYS = 28
"""The remaining life goes by the use of so many days: four weeks, every weekday equally often."""
PLAY = 0.005
"""Half a per cent: monitors tell the state of charge to a tenth or so, and their noise is no use of the battery."""
LONGEST_HOLD = timedelta(hours=1)
"""A value speaks for at most so long."""
ASSUMED_DEGC = 25.0
"""Of cells never measured: the reference temperature of the model."""
SOC, POWER, TEMPERATURE = "soc", "active_power", "temperature"
HOT = "battery_hot"


@dataclass(frozen=True)
class _Use:
    """What one unit did on one day."""

    times: pd.DatetimeIndex
    soc: np.ndarray
    """Share, noise held back, [times]."""
    readings: int
    hours_with_values: int
    notes: list[str]


def section_of(site: Site) -> StorageSection:
    """The site's [storage], as it stands where nothing is set."""
    return site.storage or StorageSection()  # type: ignore[call-arg]


def days_before(partitions: list[str], day: date) -> list[str]:
    """Of the days that have rows those that a day's health goes on from: never the day itself, so that it may be made again."""
    return [key for key in partitions if key < day.isoformat()][-RATE_DAYS:]


def health_of_day(clock: SiteCalendar, section: StorageSection, day: date, units: pd.DataFrame, devices: pd.DataFrame,
                  measurements: pd.DataFrame, earlier: pd.DataFrame) -> pd.DataFrame:  # fmt: skip
    """Rows of UNIT_HEALTH of one day, one a unit of the register.

    ``measurements``: the day's partition of metering/measurements, or no rows. ``earlier``: rows of UNIT_HEALTH of earlier days; each
    unit goes on from its latest one, and without any it is new. A unit without measurements ages by time alone, as warm and as full as
    it was last seen.
    """
    known = _of_units(devices, measurements, clock.bounds(day))
    before = earlier[earlier["day"] < day].sort_values("day").drop_duplicates("unit_id", keep="last").set_index("unit_id")
    states = {unit["unit_id"]: _state(unit, day, before) for unit in units.to_dict("records")}
    rows = [
        _row(clock, section, day, unit, known[known["unit_id"] == unit["unit_id"]], states[unit["unit_id"]])
        for unit in units.to_dict("records")
    ]
    made = pd.DataFrame(rows, columns=UNIT_HEALTH.columns)
    made["remaining_years"] = _remaining(made, earlier[earlier["day"] < day], day, 1.0 - section.end_of_life_soh_pct / 100.0)
    for name in ("last_read_utc", "hot_from_utc", "hot_until_utc"):
        made[name] = pd.to_datetime(made[name], utc=True).astype("datetime64[us, UTC]")
    return made


def _of_units(devices: pd.DataFrame, measurements: pd.DataFrame, bounds: tuple) -> pd.DataFrame:
    """Valid values of the devices that watch a unit: unit_id, device_id, quantity, read_utc, value, ascending in time."""
    watching = devices.dropna(subset="unit_id")[["device_id", "unit_id", "valid_from_utc", "valid_to_utc"]]
    wanted = measurements["quantity"].isin([SOC, POWER, TEMPERATURE]) & measurements["value"].notna()
    rows = measurements.loc[wanted, ["device_id", "quantity", "read_utc", "value"]].merge(watching, on="device_id")
    at = rows["read_utc"]
    here = (at >= rows["valid_from_utc"]) & (at < rows["valid_to_utc"].fillna(FOREVER)) & (at >= bounds[0]) & (at < bounds[1])
    return rows[here].sort_values(["read_utc", "device_id"], ignore_index=True)


def _state(unit: dict, day: date, before: pd.DataFrame) -> dict:
    """The unit's row of its latest earlier day, or that of a new unit which stands as the register says it begins."""
    if unit["unit_id"] in before.index:
        return before.loc[unit["unit_id"]].to_dict()
    nothing = dict.fromkeys(
        ("total_throughput_kwh", "total_equivalent_full_cycles", "calendar_fade_pct", "cycle_fade_pct", "resistance_growth_pct"), 0.0
    )
    return nothing | {
        "day": day - timedelta(days=1), "first_day": day, "ageing_soc_pct": 100.0 * unit["initial_energy_kwh"] / unit["energy_kwh"],
        "ageing_temperature_degc": ASSUMED_DEGC, "last_soc_pct": np.nan, "last_read_utc": pd.NaT, "hot_from_utc": pd.NaT,
        "hot_until_utc": pd.NaT,
    }  # fmt: skip


def _row(clock: SiteCalendar, section: StorageSection, day: date, unit: dict, known: pd.DataFrame, state: dict) -> dict:
    begin, end = (pd.Timestamp(one) for one in clock.bounds(day))
    use, cells = _use(unit, known, state, (begin, end)), _cells(known)
    rows = {"unit_id": unit["unit_id"], "day": day, "first_day": state["first_day"], "readings": use.readings}
    rows["coverage_pct"] = 100.0 * use.hours_with_values / ((end - begin) / pd.Timedelta(hours=1))
    rows |= _throughput(use, unit["energy_kwh"], state)
    rows |= _temperatures(cells, section.cell_temperature_limit_degc, end, state)

    middles = clock.intervals(day) + clock.interval / 2
    soc = _at(middles, use.times, use.soc, state["ageing_soc_pct"] / 100.0)
    warmth = _at(middles, pd.DatetimeIndex(cells.index), cells.to_numpy(), state["ageing_temperature_degc"])
    unseen_s = (begin - pd.Timestamp(clock.midnight(state["day"] + timedelta(days=1)))).total_seconds()
    at_rest = (np.append(warmth, state["ageing_temperature_degc"]), np.append(soc, state["ageing_soc_pct"] / 100.0),
               np.append(np.full(len(soc), clock.interval.total_seconds()), unseen_s))  # fmt: skip
    calendar = (state["calendar_fade_pct"] / 100.0) ** 2 + ageing.calendar_square(*at_rest).sum()
    cycles, rates = _cycles(use)
    full = cycles.depth * cycles.count
    cycle = (state["cycle_fade_pct"] / 100.0) ** 2 + ageing.cycle_square(cycles.depth, rates, full).sum()
    grown = ageing.calendar_resistance(*at_rest).sum() + ageing.cycle_resistance(cycles.depth, rates, full).sum()

    faded = 100.0 * np.sqrt(calendar), 100.0 * np.sqrt(cycle)
    notes = [*use.notes]
    if cells.empty:
        notes.append(f"no temperature, {state['ageing_temperature_degc']:.1f} degC assumed")
    if unseen_s > 0:
        notes.append(f"aged by time alone from {state['day'] + timedelta(days=1)} to {day - timedelta(days=1)}, which have no row")
    weights = cycles.count / max(cycles.count.sum(), 1e-12)
    return rows | {
        "cycles": cycles.count.sum(),
        "mean_depth_pct": 100.0 * (cycles.depth * weights).sum() if len(full) else np.nan,
        "largest_depth_pct": 100.0 * cycles.depth.max() if len(full) else np.nan,
        "calendar_fade_pct": faded[0], "cycle_fade_pct": faded[1], "capacity_fade_pct": sum(faded), "soh_pct": max(100.0 - sum(faded), 0.0),
        "resistance_growth_pct": state["resistance_growth_pct"] + 100.0 * grown,
        "ageing_soc_pct": 100.0 * soc.mean(), "ageing_temperature_degc": warmth.mean(),
        "last_soc_pct": 100.0 * use.soc[-1] if len(use.soc) else state["last_soc_pct"],
        "last_read_utc": use.times[-1] if len(use.soc) else state["last_read_utc"],
        "note": "; ".join(notes) or None,
    }  # fmt: skip


def _use(unit: dict, known: pd.DataFrame, state: dict, bounds: tuple[pd.Timestamp, pd.Timestamp]) -> _Use:
    """The day's state of charge: measured, else from power, else none; it begins with the last one known from before."""
    told, notes = _one_device(known, SOC), []
    if len(told):
        times, soc = pd.DatetimeIndex(told["read_utc"]), told["value"].to_numpy(float) / 100.0
    else:
        told = _one_device(known, POWER)
        if told.empty:
            said = f"no state of charge: no cycles counted, aged by time alone at {state['ageing_soc_pct']:.0f} %"
            return _Use(pd.DatetimeIndex([], tz="UTC"), np.array([]), 0, 0, [said])
        times, soc = _from_power(unit, told, state, bounds[1])
        notes.append("state of charge followed from power")
    readings, hours = len(told), ((told["read_utc"] - bounds[0]) // pd.Timedelta(hours=1)).nunique()
    if pd.notna(state["last_soc_pct"]):
        soc = ageing.held(soc, PLAY, state["last_soc_pct"] / 100.0)
        if state["last_read_utc"] < times[0]:
            times, soc = times.insert(0, state["last_read_utc"]), np.insert(soc, 0, state["last_soc_pct"] / 100.0)
    else:
        soc = ageing.held(soc, PLAY)
    return _Use(times, soc, readings, hours, notes)


def _one_device(known: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """The values of the device that sent most of them: two monitors of one unit differ, and going between them would look like cycles."""
    rows = known[known["quantity"] == quantity]
    counts = rows["device_id"].value_counts()
    return rows[rows["device_id"] == min(counts[counts == counts.max()].index)] if len(rows) else rows


def _from_power(unit: dict, told: pd.DataFrame, state: dict, end: pd.Timestamp) -> tuple[pd.DatetimeIndex, np.ndarray]:
    """State of charge as the sum of power [kW, positive when charging], with the register's efficiencies."""
    times, power = pd.DatetimeIndex(told["read_utc"]), told["value"].to_numpy(float)
    hours = ageing.speaking_hours(_plain(times), _plain(pd.DatetimeIndex([end]))[0], LONGEST_HOLD)
    into = np.where(power > 0, power * unit["charge_efficiency"], power / unit["discharge_efficiency"]) * hours
    start = state["last_soc_pct"] / 100.0 if pd.notna(state["last_soc_pct"]) else unit["initial_energy_kwh"] / unit["energy_kwh"]
    soc = start + np.concatenate([[0.0], np.cumsum(into)]) / unit["energy_kwh"]
    return times.append(pd.DatetimeIndex([times[-1] + pd.Timedelta(hours=hours[-1])])), soc


def _plain(times: pd.DatetimeIndex) -> np.ndarray:
    return times.tz_convert("UTC").tz_localize(None).to_numpy()


def _cells(known: pd.DataFrame) -> pd.Series:
    """The unit's temperatures by time; where several devices tell, the warmest one's."""
    return known[known["quantity"] == TEMPERATURE].groupby("read_utc")["value"].max()


def _at(instants: pd.DatetimeIndex, times: pd.DatetimeIndex, values: np.ndarray, otherwise: float) -> np.ndarray:
    """Values at ``instants``, straight from one to the next and level beyond the first and last; ``otherwise`` where there are none."""
    if not len(values):
        return np.full(len(instants), otherwise)
    return np.interp(instants.as_unit("us").asi8, times.as_unit("us").asi8, values)


def _throughput(use: _Use, energy_kwh: float, state: dict) -> dict:
    through = ageing.throughput_kwh(use.soc, energy_kwh)
    full = through / (2.0 * energy_kwh)
    return {
        "throughput_kwh": through, "total_throughput_kwh": state["total_throughput_kwh"] + through,
        "equivalent_full_cycles": full, "total_equivalent_full_cycles": state["total_equivalent_full_cycles"] + full,
    }  # fmt: skip


def _cycles(use: _Use) -> tuple[ageing.Cycles, np.ndarray]:
    """The day's cycles, and the mean rate of each [1/h] over the time in which the state of charge moved."""
    cycles = ageing.rainflow_cycles(use.soc)
    if not len(cycles.depth):
        return cycles, np.array([])
    hours = np.diff(use.times.as_unit("us").asi8) / 3.6e9
    moving = np.concatenate([[0.0], np.cumsum(np.where(np.diff(use.soc) != 0.0, hours, 0.0))])
    return cycles, cycles.depth / (moving[cycles.end] - moving[cycles.begin])


def _temperatures(cells: pd.Series, limit_degc: float, end: pd.Timestamp, state: dict) -> dict:
    """Mean, highest, time above the limit, and since and until when: from the first hot value, or from before, to the first cool one after the last."""
    going_on = state["hot_from_utc"] if pd.notna(state["hot_from_utc"]) and pd.isna(state["hot_until_utc"]) else pd.NaT
    if cells.empty:
        return {"mean_temperature_degc": np.nan, "highest_temperature_degc": np.nan, "hot_minutes": 0.0, "hot_from_utc": going_on, "hot_until_utc": pd.NaT}  # fmt: skip
    times, hot = pd.DatetimeIndex(cells.index), cells.to_numpy() > limit_degc
    hours = ageing.speaking_hours(_plain(times), _plain(pd.DatetimeIndex([end]))[0], LONGEST_HOLD)
    first = going_on if pd.notna(going_on) else (times[hot.argmax()] if hot.any() else pd.NaT)
    cool_from = len(hot) - hot[::-1].argmax() if hot.any() else 0
    until = times[cool_from] if pd.notna(first) and cool_from < len(hot) else pd.NaT
    return {
        "mean_temperature_degc": float(np.average(cells, weights=hours)), "highest_temperature_degc": float(cells.max()),
        "hot_minutes": 60.0 * float(hours[hot].sum()), "hot_from_utc": first, "hot_until_utc": until,
    }  # fmt: skip


def _remaining(made: pd.DataFrame, earlier: pd.DataFrame, day: date, most_lost: float) -> np.ndarray:
    """Years until ``most_lost`` is gone, by what the last RATE_DAYS days (as many as are known) added to each unit, (units,)."""
    names, begin = ["calendar_fade_pct", "cycle_fade_pct"], day - timedelta(days=RATE_DAYS)
    old = earlier[earlier["day"] >= begin].sort_values("day").drop_duplicates("unit_id").set_index("unit_id")
    days, then = np.empty((len(made), 1)), np.zeros((len(made), 2))
    for n, one in enumerate(made.itertuples()):
        if one.first_day < begin and one.unit_id in old.index:
            days[n], then[n] = (day - old.at[one.unit_id, "day"]).days, old.loc[one.unit_id, names].to_numpy(float)
        else:  # it was new within these weeks, or nothing was reckoned in them: its whole life
            days[n] = (day - one.first_day).days + 1
    now = (made[names].to_numpy(float) / 100.0) ** 2
    per_day = (now - (then / 100.0) ** 2) / days
    return ageing.remaining_years(now[:, 0], now[:, 1], per_day[:, 0], per_day[:, 1], most_lost)


def found_alerts(rows: pd.DataFrame, limit_degc: float) -> list[FoundAlert]:
    """Units that were above the limit, as the store of alerts takes them: one a unit and stretch, which may go on over days."""
    hot = rows[rows["hot_from_utc"].notna()]
    return [
        FoundAlert(
            f"{HOT} {one.unit_id} {one.hot_from_utc:%Y-%m-%dT%H:%M:%SZ}", HOT, str(one.unit_id), one.hot_from_utc,
            None if pd.isna(one.hot_until_utc) else one.hot_until_utc, "warning", _heat(one, limit_degc),
        )
        for one in hot.itertuples()
    ]  # fmt: skip


def too_hot(rows: pd.DataFrame, limit_degc: float) -> str:
    """Units above the limit with their minutes and highest temperature, the warmest first; empty when all were below it."""
    hot = rows[rows["hot_minutes"] > 0].sort_values(["highest_temperature_degc", "unit_id"], ascending=[False, True])
    return "; ".join(f"{one.unit_id}: {_heat(one, limit_degc)}" for one in hot.itertuples())


def _heat(row, limit_degc: float) -> str:
    if pd.isna(row.highest_temperature_degc):
        return f"was above {limit_degc:g} degC when last measured"
    return f"{row.hot_minutes:.0f} minutes above {limit_degc:g} degC, highest {row.highest_temperature_degc:.1f} degC"


def worn_out(rows: pd.DataFrame, end_of_life_soh_pct: float) -> str:
    """Units whose health is below the end of life, the worst first; empty when none is."""
    worn = rows[rows["soh_pct"] < end_of_life_soh_pct].sort_values(["soh_pct", "unit_id"])
    return "; ".join(f"{one.unit_id}: {one.soh_pct:.1f} % of its capacity is left" for one in worn.itertuples())


def health_in_words(rows: pd.DataFrame) -> str:
    """The fleet in a sentence."""
    if rows.empty:
        return "no unit is in the register"
    seen, worst = rows[rows["readings"] > 0], rows.loc[rows["soh_pct"].idxmin()]
    return (
        f"{len(rows)} units, {len(seen)} measured: {seen['equivalent_full_cycles'].sum():.2f} full cycles on the day; the least health is "
        f"{worst['soh_pct']:.2f} % ({worst['unit_id']}), the shortest remaining life {rows['remaining_years'].min():.1f} years"
    )

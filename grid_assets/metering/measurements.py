"""A day of measurements: every quantity but active energy, its newest arrivals validated, every row accounted for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import in_force
from grid_assets.foundation.site_sections import QuantityLimits
from grid_assets.foundation.tables import Table
from grid_assets.foundation.units import UnitError, quantity_unit, to_quantity_unit
from grid_assets.metering import measurement_rules as rules
from grid_assets.metering.tables import DEVICE_DAYS, LANDED_MEASUREMENTS, MEASUREMENT_FILE_DAYS, MEASUREMENTS

SECOND = 1_000_000
CODED = ("file_id", "source_file", "device_id", "quantity", "unit")
QUALITY_CODES = {"": "3.0.0", "limits": "3.5.259", "step": "3.5.259"}
"""Of IEC 61968-9, by the first failed rule: valid, reasonability; every other rule is 3.6.0, failed validation."""
SILENT = "silent"
"""The quantity, and the flag, of a device that should have reported and sent nothing all day."""


@dataclass
class MeasurementDay:
    """A day's tables."""

    measurements: pa.Table
    device_days: pd.DataFrame
    file_days: pd.DataFrame

    def tables(self) -> dict[Table, pa.Table | pd.DataFrame]:
        """In the order in which they are to be written: the file days tell what the day was made from and are the last."""
        return {MEASUREMENTS: self.measurements, DEVICE_DAYS: self.device_days, MEASUREMENT_FILE_DAYS: self.file_days}

    def figures(self) -> dict[str, int]:
        """Rows by what became of them, and refused values by rule."""
        made = {name: int(self.file_days[name].sum()) for name in ("rows", "published", "rejected", "superseded")}
        made |= {
            "devices": int(self.device_days["device_id"].nunique()),
            "silent_devices": int((self.device_days["quantity"] == SILENT).sum()),
        }
        told = pc.drop_null(self.measurements["rule_failures"].cast(pa.string()))
        counts = [(one["values"].split(), one["counts"]) for one in pc.value_counts(told).to_pylist()]
        by_rule = {rule: sum(count for failed, count in counts if rule in failed) for rule in rules.RULES}
        return made | {f"rejected_{rule}": count for rule, count in by_rule.items() if count}


@dataclass(frozen=True)
class _Series:
    """The devices and quantities of a day, and the codes that its rows carry."""

    devices: list[str]
    quantities: list[str]
    device: np.ndarray
    quantity: np.ndarray

    @classmethod
    def of(cls, rows: pa.Table) -> _Series:
        devices, device = _sorted_codes(rows["device_id"])
        quantities, quantity = _sorted_codes(rows["quantity"])
        return cls(devices, quantities, device, quantity)


def staged_rows(lake: Lake, files: Sequence[str], day: date, known_until: datetime | None = None) -> pa.Table:
    """The rows of one day in the named landed files (LANDED_MEASUREMENTS); only those that had arrived by ``known_until``."""
    if not len(files):
        return LANDED_MEASUREMENTS.empty()
    staged = lake.read_between(LANDED_MEASUREMENTS, sorted(files), None, None, coded=CODED)
    wanted = pc.equal(staged["day"], pa.scalar(day, pa.date32()))
    if known_until is not None:
        wanted = pc.and_(wanted, pc.less_equal(staged["received_utc"], pa.scalar(known_until, pa.timestamp("us", tz="UTC"))))
    return staged.filter(wanted)


def devices_in_force(devices: pd.DataFrame, meters: pd.DataFrame, clock: SiteCalendar, day: date) -> pd.DataFrame:
    """What may measure on a day, one row each: device_id, kind, node_id, reporting_s, and begin and end of its time in force
    on the day (UTC microseconds).

    Meters are those in force when the day begins, and report once an interval; a device may begin or end within the day.
    Of one that moves on the day the later place counts.
    """
    start, end = (pd.Timestamp(one) for one in clock.bounds(day))
    here = devices[(devices["valid_from_utc"] < end) & ~(devices["valid_to_utc"] <= start)].sort_values("valid_from_utc", kind="stable")
    begin = here.groupby("device_id")["valid_from_utc"].transform("min").clip(lower=start)
    until = here["valid_to_utc"].fillna(end).clip(upper=end)
    here = here.assign(begin=begin, end=until, device=True).drop_duplicates("device_id", keep="last")
    there = in_force(meters, start, end).rename(columns={"meter_id": "device_id"})
    there = there.assign(reporting_s=clock.interval_minutes * 60.0, begin=start, end=end, device=False)
    columns = ["device_id", "kind", "node_id", "reporting_s", "begin", "end", "device"]
    parts = [part[columns] for part in (here, there) if len(part)]
    both = pd.concat(parts, ignore_index=True).drop_duplicates("device_id") if parts else pd.DataFrame(columns=columns)
    return both.assign(
        **{name: pd.to_datetime(both[name], utc=True).astype("datetime64[us, UTC]").astype("int64") for name in ("begin", "end")}
    )


def measurement_day(
    rows: pa.Table, known: pd.DataFrame, clock: SiteCalendar, day: date, of_site: Mapping[str, QuantityLimits]
) -> MeasurementDay:
    """Validates a day's staged rows (LANDED_MEASUREMENTS). ``known``: from devices_in_force; ``of_site``: [quantities] of the site file.

    Of a device, quantity and instant the newest arrival counts: by time of arrival, then file, then row. A value that
    fails a rule is rejected and stays visible as arrived_value.
    """
    start, end = (int(pd.Timestamp(one).value // 1000) for one in clock.bounds(day))
    series = _Series.of(rows)
    files, file = _sorted_codes(rows["file_id"])
    instant = _microseconds(rows["read_utc"])
    newest = _newest(series, instant, rows, file)
    device, quantity, moment = series.device[newest], series.quantity[newest], instant[newest]
    value, unit, wrong_unit = _converted(rows, series, newest)
    row_of = pd.Index(known["device_id"]).get_indexer(pd.Index(series.devices))
    begins = np.concatenate([[True], (np.diff(device) != 0) | (np.diff(quantity) != 0)])[: len(newest)]
    failed = {"not_in_force": ~_is_in_force(known, row_of[device], moment), "unit": wrong_unit} | _judged(
        value, moment / SECOND, begins, quantity, wrong_unit, series.quantities, of_site
    )
    mask = sum((failed[rule].astype(np.int64) << n for n, rule in enumerate(rules.RULES)), np.zeros(len(newest), dtype=np.int64))
    return MeasurementDay(
        _measurements(series, device, quantity, moment, value, unit, mask),
        _device_days(known, row_of, series, device, quantity, moment, value, unit, mask, begins, day, (start, end)),
        _file_days(rows, files, file, newest, mask),
    )


def _is_in_force(known: pd.DataFrame, row: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Whether the device of each value (its row in ``known``, -1: none) was in force when it measured."""
    begin, end = (np.append(known[name].to_numpy(dtype=np.int64), 0)[row] for name in ("begin", "end"))
    return (begin <= moment) & (moment < end)


def _sorted_codes(values: pa.ChunkedArray) -> tuple[list[str], np.ndarray]:
    """The distinct texts in order, and each row's position among them."""
    coded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    array = coded.unify_dictionaries().combine_chunks()
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    texts = array.dictionary.to_pylist()
    codes = array.indices.to_numpy(zero_copy_only=False)
    used = np.flatnonzero(np.bincount(codes, minlength=len(texts)))
    ordered = sorted(used.tolist(), key=lambda n: texts[n])
    rank = np.zeros(max(len(texts), 1), dtype=np.int64)
    rank[ordered] = np.arange(len(ordered))
    return [texts[n] for n in ordered], rank[codes]


def _microseconds(times: pa.ChunkedArray) -> np.ndarray:
    return times.cast(pa.int64()).to_numpy()


def _newest(series: _Series, instant: np.ndarray, rows: pa.Table, file: np.ndarray) -> np.ndarray:
    """Positions of the newest row of every device, quantity and instant, in that order.

    One key of 64 bits is sorted; only rows that share theirs with another are put in the order of their arrival.
    """
    if not len(instant):
        return np.zeros(0, dtype=np.int64)
    width = int(instant.max() - instant.min()) + 1
    key = (series.device * len(series.quantities) + series.quantity) * width + (instant - instant.min())
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    repeats = ordered[1:] == ordered[:-1]
    last = np.concatenate([~repeats, [True]])
    if repeats.any():
        several = np.concatenate([repeats, [False]]) | np.concatenate([[False], repeats])
        at = order[several]
        _, name = _sorted_codes(rows["source_file"])
        arrived, source_row = _microseconds(rows["received_utc"])[at], rows["source_row"].to_numpy()[at]
        order[several] = at[np.lexsort((source_row, file[at], name[at], arrived, key[at]))]
    return order[last]


def _converted(rows: pa.Table, series: _Series, newest: np.ndarray) -> tuple[np.ndarray, list[tuple[str, np.ndarray]], np.ndarray]:
    """Values in their quantity's unit; the units as dictionary and codes; and where a unit is none of the quantity's.

    A value that cannot be converted keeps the number and the unit it came with.
    """
    units, came = _sorted_codes(rows["unit"])
    names = [*units]
    pair = series.quantity[newest] * max(len(units), 1) + came[newest]
    size = len(series.quantities) * len(units)
    factor, offset, wrong, code = np.ones(size), np.zeros(size), np.zeros(size, dtype=bool), np.zeros(size, dtype=np.int64)
    for one in np.flatnonzero(np.bincount(pair, minlength=size)).tolist():
        quantity, unit = series.quantities[one // len(units)], units[one % len(units)]
        try:
            factor[one], offset[one] = to_quantity_unit(quantity, unit)
            unit = quantity_unit(quantity)
        except UnitError:
            wrong[one] = True
        if unit not in names:
            names.append(unit)
        code[one] = names.index(unit)
    arrived = rows["value"].to_numpy()[newest]
    value = arrived * factor[pair] + offset[pair]
    return value, (names, code[pair]), wrong[pair]


def _judged(
    value: np.ndarray, seconds: np.ndarray, begins: np.ndarray, quantity: np.ndarray, unusable: np.ndarray,
    quantities: Sequence[str], of_site: Mapping[str, QuantityLimits],
) -> dict[str, np.ndarray]:  # fmt: skip
    """The rules over values; a value outside of its limits takes no part in the step and stuck rules of its neighbours."""
    limits = [rules.limits_of(name, of_site) for name in quantities]

    def each(key: str) -> np.ndarray:
        made = np.array([np.nan if getattr(one, key) is None else getattr(one, key) for one in limits] or [np.nan], dtype=float)
        return made[quantity]

    outside = rules.outside_limits(value, each("minimum"), each("maximum")) & ~unusable
    kept = np.flatnonzero(~outside & ~unusable)
    number = np.cumsum(begins)[kept]
    first = np.concatenate([[True], np.diff(number) != 0])[: len(kept)]
    found = {"limits": outside, "step": np.zeros(len(value), dtype=bool), "stuck": np.zeros(len(value), dtype=bool)}
    found["step"][kept] = rules.step(value[kept], seconds[kept], first, each("largest_step")[kept])
    found["stuck"][kept] = rules.stuck(value[kept], first, each("stuck_values")[kept])
    return found


def _told(mask: int) -> str:
    """The rules of a mask of failures, separated by spaces."""
    return " ".join(rule for n, rule in enumerate(rules.RULES) if mask >> n & 1)


def _texts(names: Sequence[str | None], codes: np.ndarray) -> pa.DictionaryArray:
    """Names by code; a name that is None is null. Equal names share a code, so that no text is there twice."""
    distinct = [one for one in dict.fromkeys(names) if one is not None]
    place = np.array([distinct.index(one) if one is not None else -1 for one in names] or [-1], dtype=np.int64)
    at = place[codes].astype(np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(at, mask=at < 0), pa.array(distinct, pa.string()))


def _measurements(series: _Series, device, quantity, moment, value, unit, mask) -> pa.Table:
    masks = [_told(one) for one in range(1 << len(rules.RULES))]
    code_of = [QUALITY_CODES.get(told.split(" ")[0], "3.6.0") for told in masks]
    columns = {
        "device_id": pa.DictionaryArray.from_arrays(pa.array(device.astype(np.int32)), pa.array(series.devices, pa.string())),
        "quantity": _texts(series.quantities, quantity),
        "read_utc": pa.array(moment).cast(pa.timestamp("us", tz="UTC")),
        "value": pa.array(value, mask=mask > 0),
        "unit": _texts(*unit),
        "quality": _texts(["measured", "rejected"], (mask > 0).astype(np.int64)),
        "quality_code": _texts(code_of, mask),
        "rule_failures": _texts([told or None for told in masks], mask),
        "arrived_value": pa.array(value),
    }
    return pa.table({name: columns[name] for name in MEASUREMENTS.columns})


def _device_days(known, row_of, series: _Series, device, quantity, moment, value, unit, mask, begins, day, bounds) -> pd.DataFrame:
    """A row per device and quantity that arrived, and one per device that should have reported and was silent."""
    first = np.flatnonzero(begins)
    place = row_of[device[first]] if len(first) else np.zeros(0, dtype=np.int64)
    register = known.reset_index(drop=True)
    names, codes = unit
    made = pd.DataFrame({
        "device_id": np.array(series.devices, dtype=object)[device[first]], "quantity": np.array(series.quantities, dtype=object)[quantity[first]],
        "kind": _at(register["kind"], place, "unknown"), "node_id": _at(register["node_id"], place, None),
        "reporting_s": pd.to_numeric(pd.Series(_at(register["reporting_s"], place, np.nan), dtype=object)),
        "unit": np.array(names, dtype=object)[codes[first]],
    })  # fmt: skip
    begin, end = (_at(register[name], place, bound).astype(np.int64) for name, bound in zip(("begin", "end"), bounds, strict=True))
    made["seconds"] = (end - begin) / SECOND
    if len(first):
        made = made.join(_series_figures(made["reporting_s"].fillna(0).to_numpy(dtype=float), first, moment, value, mask, begin, end))
    silent = register[register["device"].astype(bool) & register["reporting_s"].notna() & ~register["device_id"].isin(series.devices)]
    quiet = silent[["device_id", "kind", "node_id", "reporting_s"]].assign(
        quantity=SILENT, unit="-", values=0, valid_pct=0.0, flags=SILENT, seconds=(silent["end"] - silent["begin"]) / SECOND
    )
    quiet["offline_longest_s"] = quiet["seconds"]
    both = pd.concat([part for part in (made, quiet) if len(part)], ignore_index=True) if len(made) or len(quiet) else made
    both = both.reindex(columns=[*DEVICE_DAYS.columns, "reporting_s", "seconds"])
    expected = (both["seconds"].astype(float) / both["reporting_s"].astype(float)).round().astype("Int64")
    return both.assign(day=day, expected_values=expected, values=both["values"].astype("int64"))[DEVICE_DAYS.columns]


def _at(values: pd.Series, place: np.ndarray, otherwise) -> np.ndarray:
    """values[place], and ``otherwise`` where the place is -1."""
    here = np.append(values.to_numpy(dtype=object), np.array([otherwise], dtype=object))
    return here[np.where(place < 0, len(values), place)]


def _series_figures(reporting_s: np.ndarray, first: np.ndarray, moment, value, mask, begin, end) -> pd.DataFrame:
    """Counts, extremes and gaps of every series; a value counts for its reporting interval, so that a punctual device has no gap.

    ``begin`` and ``end``: of its time in force on the day, per series.
    """
    lasts = np.append(first[1:], len(moment)) - 1
    size = lasts - first + 1
    valid = mask == 0
    valid_size = np.add.reduceat(valid.astype(np.int64), first)
    some = valid_size > 0
    held = np.repeat((reporting_s * SECOND).astype(np.int64), size)
    gap = np.empty(len(moment), dtype=np.int64)
    gap[1:] = moment[1:] - moment[:-1] - held[1:]
    gap[first] = moment[first] - begin
    longest = np.maximum(np.maximum.reduceat(gap, first), end - moment[lasts] - held[lasts])
    mean = np.add.reduceat(np.where(valid, value, 0.0), first) / np.maximum(valid_size, 1)
    failures = np.bitwise_or.reduceat(mask, first)
    told = np.array([_told(one) or None for one in range(1 << len(rules.RULES))], dtype=object)
    return pd.DataFrame({
        "values": size, "valid_pct": 100.0 * valid_size / size,
        "minimum": np.where(some, np.minimum.reduceat(np.where(valid, value, np.inf), first), np.nan),
        "mean": np.where(some, mean, np.nan),
        "maximum": np.where(some, np.maximum.reduceat(np.where(valid, value, -np.inf), first), np.nan),
        "offline_longest_s": np.maximum(longest, 0) / SECOND, "flags": told[failures],
    })  # fmt: skip


def _file_days(rows: pa.Table, files: Sequence[str], file: np.ndarray, newest: np.ndarray, mask: np.ndarray) -> pd.DataFrame:
    """Rows = published + rejected + superseded, per file."""
    names, name = _sorted_codes(rows["source_file"])
    total = np.bincount(file, minlength=len(files))
    published = np.bincount(file[newest[mask == 0]], minlength=len(files))
    rejected = np.bincount(file[newest[mask > 0]], minlength=len(files))
    source = np.zeros(len(files), dtype=np.int64)
    source[file[::-1]] = name[::-1]
    made = {"file_id": files, "source_file": np.array(names, dtype=object)[source] if names else [], "rows": total,
            "published": published, "rejected": rejected, "superseded": total - published - rejected}  # fmt: skip
    return pd.DataFrame(made, columns=MEASUREMENT_FILE_DAYS.columns)

"""What arrived of a day before any rule judges it: intervals, differences of registers, days in Wh brought to kWh."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from grid_assets.foundation.site_sections import ValidationSection
from grid_assets.metering.vee.day_axes import DayGrid
from grid_assets.metering.vee.day_in_making import Matrices
from grid_assets.metering.vee.editing import ACCEPT, Corrections
from grid_assets.metering.vee.estimation import ClassProfiles
from grid_assets.metering.vee.meter_limits import either_way, limit_kwh
from grid_assets.metering.vee.newest_arrivals import Arrivals, last_of_day_before
from grid_assets.metering.vee.register_reads import spans_of
from grid_assets.metering.vee.scale_test import WH_PER_KWH, scaled_days, without_past


def arrived_values(grid: DayGrid, arrivals: Arrivals, opening: pa.Table, rules: ValidationSection) -> Matrices:
    """The newest arrivals in their matrix, and between them what the registers tell."""
    intervals = grid.shape[1]
    arrived = np.full(grid.shape, np.nan)
    flat = arrived.ravel()
    at, cell = arrivals.intervals
    flat[cell] = arrivals.kwh[at]
    sent_intervals = np.zeros(grid.shape[0], dtype=bool)
    sent_intervals[cell // intervals] = True
    reads, closed = arrivals.registers
    modulus = grid.column("register_modulus_kwh", rules.register_modulus_kwh).to_numpy(dtype=float)
    spans = spans_of(
        arrivals.row[reads], closed % intervals, arrivals.kwh[reads], last_of_day_before(grid, opening), limit_kwh(grid), modulus,
        either_way(grid),
    )  # fmt: skip
    closing = spans.row * intervals + spans.end - 1
    silent = np.isnan(flat[closing])
    plain = silent & ~spans.exchanged & (spans.intervals == 1)
    flat[closing[plain]] = spans.kwh[plain]
    both = np.zeros(grid.shape[0], dtype=bool)
    both[spans.row] = True
    return Matrices(arrived, ~np.isnan(arrived), closing[plain], spans, both & sent_intervals)


def find_exchanges(grid: DayGrid, day: Matrices) -> None:
    """The closing reads that cannot be of the register that was read before: their intervals are gaps with a reason."""
    spans = day.spans
    across_units = np.isin(spans.row, day.scaled) & (spans.begin <= 0)  # the day before may have been sent in kWh
    exchanged = (spans.exchanged | spans.too_much(limit_kwh(grid))) & ~across_units
    closing = spans.row * grid.shape[1] + spans.end - 1
    alone = exchanged & ~day.heard.ravel()[closing]
    day.exchanged, day.exchanged_kwh = closing[alone], spans.kwh[alone]
    day.heard.ravel()[day.exchanged] = True
    day.exchanged_meters = spans.row[exchanged]
    spans.exchanged = exchanged | across_units


def rescale(grid: DayGrid, day: Matrices, past: Sequence[np.ndarray], classes: ClassProfiles, rules: ValidationSection) -> None:
    """Brings days that were sent in Wh to kWh, before any mean of them is taken."""
    class_kwh = np.full(grid.shape[0], np.nan)
    known = classes.member >= 0
    if known.any():
        told = ~np.isnan(classes.mean).all(axis=1)
        median = np.full(len(told), np.nan)
        median[told] = np.nanmedian(classes.mean[told], axis=1)
        class_kwh[known] = median[classes.member[known]]
    day.scaled = np.flatnonzero(scaled_days(day.arrived, past, limit_kwh(grid), class_kwh, rules.scale_ratio))
    day.unconfirmed = day.scaled[without_past(past, day.scaled)]
    day.original = day.arrived[day.scaled]
    day.arrived[day.scaled] /= WH_PER_KWH
    wh = np.isin(day.spans.row, day.scaled)
    day.spans.kwh[wh] /= WH_PER_KWH
    day.spans.resolution_kwh[wh] /= WH_PER_KWH


def take_as_arrived(day: Matrices, edits: Corrections) -> None:
    """An analyst who accepts a value of a day that the scale test changed accepts what arrived."""
    where = {int(row): n for n, row in enumerate(day.scaled)}
    intervals = day.arrived.shape[1]
    for at in edits.of(ACCEPT):
        row, column = divmod(int(edits.cell[at]), intervals)
        if row in where:
            day.arrived[row, column] = day.original[where[row], column]

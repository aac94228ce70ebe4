"""One day of readings of a shard of meters: the newest arrival of every interval, validated, edited, its gaps estimated, every
row accounted for.

The form of the computation is portable: Arrow tables in, Arrow tables out, matrices of (meters, intervals) between; nothing
here knows where the rows come from or on which engine it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.site_sections import ValidationSection
from grid_assets.foundation.tables import Table
from grid_assets.metering.tables import (
    CLASS_PROFILES,
    CORRECTIONS,
    EDITED_READINGS,
    FAILED_READINGS,
    FILE_DAYS,
    METER_DAYS,
    OUTAGE_EVENTS,
    QUALITY_PROFILES,
    RAW_READINGS,
    READINGS,
)
from grid_assets.metering.vee import quality_codes as codes
from grid_assets.metering.vee import reading_tables as made_tables
from grid_assets.metering.vee import validation
from grid_assets.metering.vee.arrived_values import arrived_values, find_exchanges, rescale, take_as_arrived
from grid_assets.metering.vee.clock_test import lacking_hours, shifted_days
from grid_assets.metering.vee.day_axes import DayGrid, day_grid
from grid_assets.metering.vee.day_in_making import Matrices
from grid_assets.metering.vee.day_profiles import (
    class_part,
    day_figures,
    merged_classes,
    merged_files,
    merged_quality,
    quality_part,
)
from grid_assets.metering.vee.day_rules import day_flags, judge, rule_failures, usual_of
from grid_assets.metering.vee.editing import REJECT, Corrections, Supply, corrections_on, without_supply
from grid_assets.metering.vee.estimation import ClassProfiles, Estimates, estimate
from grid_assets.metering.vee.group_movements import DaySample, SamplePart, departures
from grid_assets.metering.vee.history import History, class_profiles_on
from grid_assets.metering.vee.meter_limits import bounds_kwh, either_way, limit_kwh, limit_of, near_of, offset_of
from grid_assets.metering.vee.newest_arrivals import Arrivals, place
from grid_assets.metering.vee.register_reads import to_totals, told_again, without_energy
from grid_assets.metering.vee.validation import BITS

__all__ = ["DayGrid", "History", "ReadingDay", "ShardInputs", "day_grid", "merge_days", "reading_day"]


@dataclass
class ShardInputs:
    """What a shard's day is made from; everything but the raw rows may be absent."""

    raw: pa.Table
    """RAW_READINGS of the shard's range of meter ids, ids that are not in force included, in any order."""
    opening: pa.Table = field(default_factory=RAW_READINGS.empty)
    """RAW_READINGS of the day before, of register reads: the newest of each meter opens the day."""
    corrections: pd.DataFrame = field(default_factory=lambda: CORRECTIONS.empty().to_pandas())
    outages: pd.DataFrame = field(default_factory=lambda: OUTAGE_EVENTS.empty().to_pandas())
    past: Sequence[np.ndarray] = ()
    """Like days: measured and edited kWh on the day's axes (history.past_matrix)."""
    class_past: pd.DataFrame = field(default_factory=lambda: CLASS_PROFILES.empty().to_pandas())
    """CLASS_PROFILES of the like days."""
    night: np.ndarray | None = None
    """(intervals,): whether the sun is down (sun.night_intervals); None: not judged."""
    sample: DaySample | None = None
    """What a sample of the site tells of the day; its like days are those of ``past``."""


@dataclass
class ReadingDay:
    """A shard's day: its tables, and its parts of the tables whose rows several shards add to."""

    grid: DayGrid
    shard_tables: dict[Table, pa.Table]
    """READINGS, FAILED_READINGS, METER_DAYS and EDITED_READINGS, sorted by their keys; text may be dictionary-encoded."""
    parts: dict[Table, pa.Table]
    """For merge_days: FILE_DAYS, QUALITY_PROFILES and CLASS_PROFILES as sums."""

    def tables(self) -> dict[Table, pa.Table]:
        """The day's tables, were this shard the only one, in the order in which they are to be written: file_days, which
        tells what the day was made from, is the last.
        """
        merged = merge_days([self.parts], self.grid)
        return {**self.shard_tables, QUALITY_PROFILES: merged[QUALITY_PROFILES], CLASS_PROFILES: merged[CLASS_PROFILES],
                FILE_DAYS: merged[FILE_DAYS]}  # fmt: skip

    def frame(self, table: Table) -> pd.DataFrame:
        held = self.shard_tables[table] if table in self.shard_tables else merge_days([self.parts], self.grid)[table]
        return table.conform(held).to_pandas()

    def figures(self) -> dict[str, float]:
        """What an analyst wants to know of the day first."""
        return day_figures(self.shard_tables[METER_DAYS], self.shard_tables[FAILED_READINGS].num_rows)

    # As frames, for pictures and tests; the doors write tables().

    @cached_property
    def readings(self) -> pd.DataFrame:
        return self.frame(READINGS)

    @cached_property
    def failed(self) -> pd.DataFrame:
        return self.frame(FAILED_READINGS)

    @cached_property
    def edited(self) -> pd.DataFrame:
        return self.frame(EDITED_READINGS)

    @cached_property
    def file_days(self) -> pd.DataFrame:
        return self.frame(FILE_DAYS)

    @cached_property
    def meter_days(self) -> pd.DataFrame:
        return self.frame(METER_DAYS)

    @cached_property
    def quality_profiles(self) -> pd.DataFrame:
        return self.frame(QUALITY_PROFILES)

    @cached_property
    def class_profiles(self) -> pd.DataFrame:
        return self.frame(CLASS_PROFILES)


def merge_days(parts: Sequence[dict[Table, pa.Table]], grid: DayGrid) -> dict[Table, pa.Table]:
    """The tables of a day that its shards share, from their parts; ``grid``: any with the day's intervals."""
    return {
        QUALITY_PROFILES: merged_quality([one[QUALITY_PROFILES] for one in parts], grid.day),
        CLASS_PROFILES: merged_classes([one[CLASS_PROFILES] for one in parts], grid.starts),
        FILE_DAYS: merged_files([one[FILE_DAYS] for one in parts]),
    }


@dataclass
class Validated:
    """A day whose values are judged and whose gaps are not filled yet."""

    arrivals: Arrivals
    day: Matrices
    classes: ClassProfiles
    edits: Corrections | None
    supply: Supply | None
    usual_kwh: np.ndarray
    usual_count: np.ndarray


def validated(grid: DayGrid, inputs: ShardInputs, rules: ValidationSection) -> Validated:
    """What of a shard's day is valid, by the rules and by what analysts say. Raises UnitError and CorrectionError."""
    arrivals = place(grid, inputs.raw)
    day = arrived_values(grid, arrivals, inputs.opening, rules)
    classes = class_profiles_on(grid, inputs.class_past)
    rescale(grid, day, inputs.past, classes, rules)
    find_exchanges(grid, day)
    edits = corrections_on(grid, inputs.corrections) if len(inputs.corrections) else None
    if edits is not None:
        take_as_arrived(day, edits)
    supply = without_supply(grid, inputs.outages, day.arrived)
    usual_kwh, usual_count = usual_of(inputs.past, grid.shape)
    day.failures = rule_failures(grid, day.arrived, rules, inputs.past, usual_kwh / np.maximum(usual_count, 1), supply, inputs.night)
    day.failures[validation.interval_length(day.arrived)] |= BITS["interval_length"]
    day.failures.ravel()[day.exchanged] |= BITS["meter_exchange"]
    judge(day, edits)
    return Validated(arrivals, day, classes, edits, supply, usual_kwh, usual_count)


def sampled_part(grid: DayGrid, inputs: ShardInputs, rules: ValidationSection) -> SamplePart:
    """What the meters of a sample tell of their groups' day; intervals of an outage tell nothing."""
    made = validated(grid, inputs, rules)
    valid = made.day.valid if made.supply is None else np.where(made.supply.touched, np.nan, made.day.valid)
    lacking, heard = lacking_hours(made.day.heard, offset_of(grid)), made.day.heard.any(axis=1)
    return departures(grid, valid, inputs.past, np.count_nonzero(lacking), np.count_nonzero(heard))


def reading_day(grid: DayGrid, inputs: ShardInputs, rules: ValidationSection) -> ReadingDay:
    """Validates, edits and estimates a shard's day; no raw row is dropped. Raises UnitError and CorrectionError."""
    checked = validated(grid, inputs, rules)
    day, edits, supply = checked.day, checked.edits, checked.supply
    outcome = made_tables.outcomes(checked.arrivals, day, edits)
    failed, files = made_tables.failed(grid, inputs.raw, checked.arrivals, day, outcome), made_tables.file_days(inputs.raw, outcome)
    del checked.arrivals, outcome  # a day's rows take more memory than its matrices
    moved = inputs.sample.on(grid) if inputs.sample else None
    made = estimate(day.valid, limit_of(grid, rules), inputs.past, checked.classes, near_of(grid), moved, bounds_kwh(grid))
    _follow_registers(grid, day, made, edits, rules, supply)
    told = day_flags(grid, day, rules, checked.usual_kwh, checked.usual_count)
    if not (inputs.sample and inputs.sample.hours_lost):
        told.bits[shifted_days(day.heard, day.valid, inputs.past, offset_of(grid), grid.hours)] |= BITS["shifted_clock"]
    words = made_tables.published_words(day, made, edits, None if supply is None else supply.touched)
    valid_count = np.count_nonzero(~np.isnan(day.valid), axis=1)
    shard = {
        READINGS: made_tables.readings(grid, day, made, words),
        FAILED_READINGS: failed,
        EDITED_READINGS: made_tables.edited(grid, day, made, words, edits),
        METER_DAYS: made_tables.meter_days(grid, day, made, words, told),
    }
    parts = {
        FILE_DAYS: files,
        QUALITY_PROFILES: quality_part(grid, valid_count, made.energy),
        CLASS_PROFILES: class_part(grid, day.valid),
    }
    return ReadingDay(grid, shard, parts)


def _follow_registers(
    grid: DayGrid, day: Matrices, made: Estimates, edits: Corrections | None, rules: ValidationSection, supply: Supply | None
) -> None:
    """Nothing flows in an outage, and estimates between two register reads sum to what the register says, unless it only says
    again what was refused.
    """
    missing = np.isnan(day.valid)
    silent = missing & ~day.heard & supply.covered if supply is not None else np.zeros((0, 0), dtype=bool)
    spans = day.spans
    if len(spans.row):
        rejected = np.zeros(grid.shape, dtype=bool)
        if edits is not None:
            cells = edits.cell[edits.of(REJECT)]
            by_interval = ~np.isnan(day.arrived.ravel()[cells]) & ~np.isin(cells, day.by_register)
            rejected.ravel()[cells[~by_interval]] = True
        again = told_again(spans, np.where(missing, day.arrived, np.nan), rejected, missing)
        spans = replace(spans, exchanged=spans.exchanged | again)
        if supply is not None:
            silent = without_energy(silent, day.valid, spans, limit_kwh(grid))
    if supply is not None and silent.any():
        _without_supply(grid, made, silent, supply.unended)
        missing &= ~silent
    if len(spans.row):
        even = to_totals(made.energy, made.error, ~missing, spans, limit_of(grid, rules), either_way(grid), limit_kwh(grid))
        made.method[even > 0] = codes.LINEAR
        made.method[even > limit_of(grid, rules)] = codes.REGISTER_EVEN


def _without_supply(grid: DayGrid, made: Estimates, silent: np.ndarray, unended: np.ndarray) -> None:
    """An interval that an outage covers whole and of which nothing arrived has no energy; where nobody knows that the outage
    lasted so long it may be wrong by all that is usual then, or by all that the service carries.
    """
    unsure = np.nonzero(silent & unended)
    most = np.hypot(made.energy[unsure], np.nan_to_num(made.error[unsure]))
    made.error[silent] = 0.0
    made.error[unsure] = np.where(np.isnan(most), limit_kwh(grid)[unsure[0]], most)
    made.energy[silent], made.method[silent] = 0.0, codes.OUTAGE

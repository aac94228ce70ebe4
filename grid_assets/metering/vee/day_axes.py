"""The axes of a day's matrices: the meters in force and the intervals."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.registers import in_force


@dataclass
class DayGrid:
    """The meters in force, sorted by id, and the intervals of a day: the axes of its matrices."""

    day: date
    meters: pd.DataFrame
    """Rows of METERS, and ``photovoltaic``: whether the meter counts a PV plant's generation."""
    starts: pd.DatetimeIndex
    hours: float
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    parents: dict[str, str | None] = field(default_factory=dict)
    """The node above each node of the tree."""

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.meters), len(self.starts)

    @cached_property
    def ids(self) -> pa.Array:
        return pa.array(self.meters["meter_id"], pa.string())

    @cached_property
    def first_microsecond(self) -> int:
        """The day's beginning, in microseconds since 1970."""
        return int(self.starts[0].value // 1000)

    def column(self, name: str, default: object) -> pd.Series:
        """A column of the meters; the default for one that a register of an older form does not have, and where it is empty."""
        if name not in self.meters:
            return pd.Series([default] * len(self.meters), index=self.meters.index, dtype=object)
        values = self.meters[name]
        return values.where(values.notna(), default)  # type: ignore[arg-type]

    def part(self, first: int, stop: int) -> DayGrid:
        """The grid of the meters ``first`` to before ``stop``: a shard's."""
        return DayGrid(self.day, self.meters.iloc[first:stop].reset_index(drop=True), self.starts, self.hours, self.zone, self.parents)

    def meters_below(self, node: str) -> np.ndarray:
        """(meters,): whether the meter hangs on the node or on one below it."""
        below = {one for one in {*self.parents, *self.meters["node_id"]} if node in self._line(one)}
        return self.meters["node_id"].isin(below).to_numpy()

    def _line(self, node: str) -> list[str]:
        """The node and all above it."""
        line: list[str] = []
        here: str | None = node
        while here and here not in line:
            line.append(here)
            here = self.parents.get(here)
        return line


def day_grid(
    clock: SiteCalendar, register: pd.DataFrame, day: date, nodes: pd.DataFrame | None = None, plants: pd.DataFrame | None = None
) -> DayGrid:
    """The axes of a day, from the registers of METERS, and of NODES and PLANTS where outages and the night are to be judged."""
    start, end = (pd.Timestamp(one) for one in clock.bounds(day))
    meters = in_force(register, start, end).sort_values("meter_id", ignore_index=True)
    solar = set() if plants is None else set(plants.loc[plants["kind"] == "pv", "meter_id"])
    meters["photovoltaic"] = meters["meter_id"].isin(solar) & (meters["kind"] == "generation")
    parents = {} if nodes is None else dict(zip(nodes["node_id"], nodes["parent_id"].where(nodes["parent_id"].notna(), None), strict=True))
    return DayGrid(day, meters, clock.intervals(day), clock.interval_hours, clock.zone, parents)

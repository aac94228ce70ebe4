"""True outages: no energy flows, the meters send zeros, and the utility has an event of it."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.simulation import fault_rates as rates

CAUSES = ("cable fault", "works at the service", "storm", "blown fuse")


@dataclass(frozen=True)
class Outage:
    """An outage of one meter, or of a node and everything below it."""

    outage_id: str
    meter_id: str
    node_id: str
    start_utc: pd.Timestamp
    end_utc: pd.Timestamp
    cause: str


def day_outages(day: date, start_utc: pd.DatetimeIndex, meter_id: np.ndarray, able: np.ndarray, seed: int) -> tuple[Outage, ...]:
    """The outages of single meters on a day, of those that are ``able`` (meters,); each lies within the day."""
    rng = np.random.default_rng([seed, day.toordinal(), rates.STREAM_OUTAGES])
    struck = rng.permutation(np.flatnonzero(able))[: rng.binomial(len(able), rates.TRUE_OUTAGES)]
    found = []
    for number, meter in enumerate(struck):
        length = int(rng.integers(*rates.OUTAGE_LENGTHS))
        begin = int(rng.integers(1, len(start_utc) - length - 1))
        before, after = (pd.Timedelta(minutes=int(minutes)) for minutes in rng.integers(0, 15, 2))
        start, end = start_utc[begin] - before, start_utc[begin + length] + after
        found.append(Outage(f"O{day:%Y%m%d}-{number + 1:04d}", str(meter_id[meter]), "", start, end, str(rng.choice(CAUSES))))
    return tuple(found)


def outages_file(outages: Iterable[Outage]) -> bytes:
    """The events as a utility's outage management hands them over: CSV."""
    columns = ["outage_id", "meter_id", "node_id", "start_utc", "end_utc", "cause"]
    frame = pd.DataFrame([vars(one) for one in outages], columns=columns)
    for name in ("start_utc", "end_utc"):
        frame[name] = [one.strftime("%Y-%m-%dT%H:%M:%SZ") for one in frame[name]]
    sink = io.StringIO()
    frame.to_csv(sink, index=False, lineterminator="\n")
    return sink.getvalue().encode()

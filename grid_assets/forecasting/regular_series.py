"""The interval of a series by its instants, where rows are missing and nothing else says what it is."""

from __future__ import annotations

import pandas as pd

LONGEST_SILENCE = pd.Timedelta(days=35)
"""No model looks further back than five weeks for what a load lately did."""
LAST_ROWS = pd.Timedelta(days=1)


class IrregularSeries(ValueError):
    """Instants that lie on no regular grid. The message says which one does not, and what was expected."""


def interval_of(index: pd.DatetimeIndex | pd.PeriodIndex) -> pd.Timedelta:
    """The interval of sorted instants: the usual distance of neighbours, of which every distance is a multiple.

    Raises IrregularSeries for fewer than two instants, for an instant that is there twice, for one off the grid, for an interval that does not divide
    an hour, and for last rows that come more than LONGEST_SILENCE after all others: a timestamp in the future, which would
    pass for the present.
    """
    stamps = index.to_timestamp() if isinstance(index, pd.PeriodIndex) else index
    if len(stamps) < 2:
        raise IrregularSeries(f"the series has {len(stamps)} rows; expected two at least, to tell its interval")
    distances = (stamps[1:] - stamps[:-1]).to_series(index=stamps[1:])
    if (distances <= pd.Timedelta(0)).any():
        raise IrregularSeries(
            f"{stamps[stamps.duplicated()][0].isoformat()} is there twice; expected one value an interval: choose one, or sum them"
        )
    interval = pd.Timedelta(distances.mode().iloc[0])
    if pd.Timedelta(hours=1) % interval:
        raise IrregularSeries(f"the interval is {interval}; expected one that divides an hour")
    off = distances.index[(distances % interval) != pd.Timedelta(0)]
    if len(off):
        raise IrregularSeries(
            f"{off[0].isoformat()} lies off the grid of {interval}; expected interval starts only: resample the series first"
        )
    silent = distances[(distances > LONGEST_SILENCE) & (distances.index > stamps[-1] - LAST_ROWS)]
    if len(silent):
        raise IrregularSeries(
            f"{silent.index[0].isoformat()} comes {silent.iloc[0].days} days after the row before it, and the series ends with it; "
            "is it a timestamp in the future? Leave it out"
        )
    return interval

"""The meters and devices that readings may be of, looked up once a run for any number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class KnownSubjects:
    """A register's ids in their order, and when each is in force."""

    ids: pa.Array
    """Sorted and distinct: an id's position is its rank."""
    begins: Sequence[np.ndarray]
    """Per period of an id (most have one) the UTC microseconds of its first instant; NEVER where there is no such period."""
    ends: Sequence[np.ndarray]

    @classmethod
    def of(cls, register: pd.DataFrame, id_column: str) -> KnownSubjects:
        """From METERS or DEVICES."""
        ids = sorted(set(register[id_column]))
        place = pd.Series(np.arange(len(ids)), index=pd.Index(ids, dtype=object))
        begins, ends = [], []
        for _, layer in register.groupby(register.groupby(id_column, sort=False).cumcount(), sort=True):
            at = place.loc[layer[id_column].tolist()].to_numpy()
            begin, end = np.full(len(ids), NEVER), np.full(len(ids), NEVER)
            begin[at] = _microseconds(layer["valid_from_utc"])
            ended = layer["valid_to_utc"].notna().to_numpy()
            end[at[ended]] = _microseconds(layer["valid_to_utc"][ended])
            begins.append(begin)
            ends.append(end)
        return cls(pa.array(ids, pa.string()), begins, ends)

    def ranks(self, words: pa.Array) -> np.ndarray:
        """The rank of each word; -1 where it is no id."""
        if not len(words) or not len(self.ids):
            return np.full(len(words), -1, dtype=np.int32)
        return pc.index_in(words, self.ids).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int32)

    def always(self, first: int, last: int) -> np.ndarray:
        """Whether each id is in force, at one place, from one instant to another."""
        found = np.zeros(len(self.ids), dtype=bool)
        for begin, end in zip(self.begins, self.ends, strict=True):
            found |= (begin <= first) & (last < end)
        return found

    def in_force(self, rank: np.ndarray, instants: np.ndarray) -> np.ndarray:
        """Whether each id is in force at the instant beside it. Both have one entry per reading; ranks are 0 or more."""
        if not len(rank):
            return np.zeros(0, dtype=bool)
        found = self.always(instants.min(), instants.max())[rank]
        rest = np.flatnonzero(~found)
        for begin, end in zip(self.begins, self.ends, strict=True):
            at = rank[rest]
            found[rest] |= (begin[at] <= instants[rest]) & (instants[rest] < end[at])
        return found


def _microseconds(times: pd.Series) -> np.ndarray:
    return times.to_numpy(dtype="datetime64[us]").astype(np.int64)

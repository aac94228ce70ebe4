"""A node's fitted models in a folder, so that a month's regression and a quarter's trees are fitted once."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from datetime import date, timedelta
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import numpy as np

from grid_assets.forecasting.ensemble.node_models import NodeHistory, NodeTrees, Regression
from grid_assets.foundation.atomic_files import put_atomically

NEAR = timedelta(days=7)
"""So far ahead a day looks for the holidays beside it."""
KEPT_OF_ONE = 3
"""Models of the same period, fitted to other data: the newest stay, for runs as of different instants take turns."""
CONFIGURATION = "ensemble 1"
"""Another one when what is fitted from the same data is another."""


class KeptModels(MutableMapping[tuple[str, date], Regression | NodeTrees]):
    """The models of one node by kind and first day of use, as files below ``folder``.

    A file's name holds a hash of the configuration, the library versions and every value that the model is fitted to: of
    changed readings another model is fitted; the last few earlier ones stay. The files are Python pickles: whoever may write
    into the site's state folder may run code as the site, as with its configuration.
    """

    def __init__(self, folder: Path, node: str, history: NodeHistory, offsets: Sequence[int]):
        self.folder, self.history, self.offsets = folder / quote(node, safe=""), history, tuple(offsets)

    def file_of(self, key: tuple[str, date]) -> Path:
        kind, first = key
        return self.folder / f"{kind}-{first}-{self._digest(kind, first)}.pickle"

    def _digest(self, kind: str, first: date) -> str:
        history = self.history
        past = history.part(0, max((first - history.days[0]).days, 0))
        told = (
            CONFIGURATION,
            kind,
            _libraries(),
            self.offsets,
            history.known_hours,
            past.days[:1],
            len(past.days),
            sorted(
                (day, name) for day, name in history.holidays.names.items() if past.days and past.days[0] <= day - NEAR <= past.days[-1]
            ),
        )
        digest = hashlib.sha256(repr(told).encode())
        for values in (past.load, *((past.temperature.observed,) if past.temperature else ())):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:16]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, tuple) and self.file_of(key).exists()

    def __getitem__(self, key: tuple[str, date]) -> Regression | NodeTrees:
        try:
            data = self.file_of(key).read_bytes()
        except FileNotFoundError:
            raise KeyError(key) from None
        return pickle.loads(data)  # noqa: S301 - our own file in the site's state folder

    def __setitem__(self, key: tuple[str, date], model: Regression | NodeTrees) -> None:
        file = self.file_of(key)
        put_atomically(file, pickle.dumps(model))
        alike = sorted(self.folder.glob(f"{key[0]}-{key[1]}-*.pickle"), key=lambda one: (one == file, one.stat().st_mtime_ns))
        for old in alike[:-KEPT_OF_ONE]:
            old.unlink(missing_ok=True)

    def __delitem__(self, key: tuple[str, date]) -> None:
        self.file_of(key).unlink()

    def __iter__(self) -> Iterator[tuple[str, date]]:
        for path in sorted(self.folder.glob("*.pickle")):
            kind, year, month, day, _ = path.stem.split("-")
            key = (kind, date(int(year), int(month), int(day)))
            if key in self:
                yield key

    def __len__(self) -> int:
        return sum(1 for _ in self)


def kept_models_in(folder: Path) -> Callable[[str, NodeHistory, Sequence[int]], KeptModels]:
    """What gives a node its kept models."""
    return partial(KeptModels, folder)


@cache
def _libraries() -> str:
    return ";".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "lightgbm", "holidays"))

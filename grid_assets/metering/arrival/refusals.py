"""Why rows are refused: the first rule that each one fails, its reason told once for all rows that share it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


class Refusals:
    """The refused ones among a number of rows."""

    def __init__(self, rows: int):
        self._rows = rows
        self._which: np.ndarray | None = None
        self.found: list[tuple[str, str]] = []
        """Rule and reason, each pair once."""

    @property
    def failed(self) -> np.ndarray:
        """Whether each row is refused."""
        return np.zeros(self._rows, dtype=bool) if self._which is None else self._which >= 0

    def add(self, rule: str, wrong: np.ndarray, codes: np.ndarray | None, reason: Callable[[int], str]) -> None:
        """Refuses the ``wrong`` rows (a mask) that no earlier rule refused. ``reason`` makes the reason of a code; rows with
        the same code share it. No codes: each row has a reason of its own, made from its position.
        """
        if not wrong.any():
            return
        rows = np.flatnonzero(wrong & (self._which < 0) if self._which is not None else wrong)
        if not len(rows):
            return
        if self._which is None:
            self._which = np.full(self._rows, -1, dtype=np.int32)
        shared, of_row = (rows, np.arange(len(rows))) if codes is None else np.unique(codes[rows], return_inverse=True)
        self._which[rows] = len(self.found) + of_row
        self.found += [(rule, reason(int(one))) for one in shared]

    def among(self, rows: np.ndarray) -> np.ndarray:
        """The refused ones of these rows."""
        return rows[self._which[rows] >= 0] if self._which is not None else rows[:0]

    def told(self, rows: np.ndarray) -> tuple[list[str], list[str], np.ndarray]:
        """The rules and the reasons that there are, and for each of these refused rows which it is."""
        codes = self._which[rows] if self._which is not None else np.zeros(0, dtype=np.int32)
        return [rule for rule, _ in self.found], [reason for _, reason in self.found], codes

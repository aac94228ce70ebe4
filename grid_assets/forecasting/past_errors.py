"""What the published models would have missed on the days that were forecast again, laid out over the horizon."""

from __future__ import annotations

import numpy as np

from grid_assets.forecasting import champion
from grid_assets.forecasting.demand import RolledDemand


def past_errors(rolled: RolledDemand) -> tuple[np.ndarray, np.ndarray]:
    """Errors [nodes, past issues, horizon slots] in units of the node's level, and the levels [nodes, past issues and the present], kW.

    Actual less forecast; NaN where the target's load was not known yet. Past issues are in the order of their days.
    """
    grid, power, first = rolled.grid, rolled.power, rolled.rolls[0]
    issues = first.targets[:-1] - first.lead
    made = np.full((len(power), len(issues), len(rolled.rolls), grid.slots), np.nan)
    for n, one in enumerate(rolled.rolls):
        at = one.targets[:-1] - one.lead
        here = np.isin(at, issues)
        missed = champion.errors_of(one, one.chosen(rolled.verdict.chosen), power) / one.level[:, :-1, None]
        made[:, np.searchsorted(issues, at[here]), n] = missed[:, here]
    return made.reshape(len(power), len(issues), -1), first.level

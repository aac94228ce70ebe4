from datetime import date

import numpy as np
import pytest

from grid_assets.forecasting.ensemble import trees
from grid_assets.forecasting.ensemble.calendar_terms import PublicHolidays
from grid_assets.forecasting.ensemble.kept_models import KeptModels
from grid_assets.forecasting.ensemble.node_models import NodeHistory, fit_regression, roll
from grid_assets_tests.forecasting.ensemble.worlds import world

WORLD = world(420)
ISSUED = 400
REGRESSION = ("regression", date(2019, 2, 1))


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr(trees, "ROUNDS", 10)


def changed_at(day: int) -> NodeHistory:
    load = WORLD.load.copy()
    load[day] *= 1.5
    return NodeHistory(WORLD.days, load, WORLD.temperature, WORLD.holidays, WORLD.known_hours)


def test_a_model_from_its_file_forecasts_the_same(tmp_path):
    kept = KeptModels(tmp_path, "feeder/7 north", WORLD, (1,))
    first = roll(WORLD, [ISSUED], (1,), kept)[1]
    again = roll(WORLD, [ISSUED], (1,), KeptModels(tmp_path, "feeder/7 north", WORLD, (1,)))[1]
    np.testing.assert_array_equal(first.regression[ISSUED + 1], again.regression[ISSUED + 1])
    np.testing.assert_array_equal(first.trees[ISSUED + 1], again.trees[ISSUED + 1])
    assert sorted(kept) == [REGRESSION, ("trees", date(2019, 1, 1))]
    assert [one.parent.parent for one in tmp_path.rglob("*.pickle")] == [tmp_path] * 2


def test_changed_readings_of_the_training_days_have_another_model_later_ones_have_not(tmp_path):
    roll(WORLD, [ISSUED], (1,), KeptModels(tmp_path, "node", WORLD, (1,)))
    assert REGRESSION not in KeptModels(tmp_path, "node", changed_at(100), (1,))
    assert REGRESSION not in KeptModels(tmp_path, "node", WORLD, (1, 2))
    assert REGRESSION not in KeptModels(tmp_path, "other", WORLD, (1,))
    later = KeptModels(tmp_path, "node", changed_at(410), (1,))
    assert REGRESSION in later
    del later[REGRESSION]
    assert len(later) == 1
    with pytest.raises(KeyError):
        later[REGRESSION]


def test_a_model_keeps_its_name_when_the_horizon_reaches_a_new_year_and_old_ones_of_other_data_go(tmp_path):
    key = ("regression", WORLD.days[330])
    kept = KeptModels(tmp_path, "system", WORLD, (1,))
    far = NodeHistory(
        WORLD.days,
        WORLD.load,
        WORLD.temperature,
        PublicHolidays({**WORLD.holidays.names, date(2031, 1, 1): "New Year"}, True),
        WORLD.known_hours,
    )
    assert KeptModels(tmp_path, "system", far, (1,)).file_of(key) == kept.file_of(key)
    model = fit_regression(WORLD, 330, (1,))
    for factor in (1.0, 2.0, 3.0, 4.0, 5.0):
        other = NodeHistory(WORLD.days, factor * WORLD.load, WORLD.temperature, WORLD.holidays, WORLD.known_hours)
        one = KeptModels(tmp_path, "system", other, (1,))
        one[key] = model
    assert len(list(tmp_path.rglob("*.pickle"))) == 3
    assert key in one
    assert key not in kept

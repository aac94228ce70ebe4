import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.forecasting.ensemble.node_models import tree_calendar
from grid_assets.forecasting.ensemble.trees import fit_trees, level, tree_facts
from grid_assets_tests.forecasting.ensemble.worlds import world

WORLD = world(80)


def facts(load, observed, offset, known_hours, temperatures):
    return tree_facts(load, tree_calendar(WORLD), temperatures, observed, offset, known_hours)


@given(st.integers(0, 7), st.integers(0, 9), st.integers(45, 79), st.sampled_from([np.nan, 1e9]))
def test_what_comes_after_the_issue_time_changes_no_fact(offset, known_hours, target, value):
    issued = target - offset
    observed = WORLD.temperature.observed_features()
    known = {name: values.copy() for name, values in observed.items()}  # stands for what was forecast, and stays
    load, later = WORLD.load.copy(), {name: values.copy() for name, values in observed.items()}
    for values in (load, *later.values()):
        values[issued, known_hours:] = value
        values[issued + 1 :] = value
    before = facts(WORLD.load, observed, offset, known_hours, known)[target]
    np.testing.assert_array_equal(before, facts(load, later, offset, known_hours, known)[target])


def test_level_is_the_mean_of_the_28_days_before_the_issue_day():
    assert np.isclose(level(WORLD.load, 2)[50], WORLD.load[20:48].mean())
    assert np.isclose(level(WORLD.load, 1)[10], WORLD.load[0:9].mean())
    assert np.isnan(level(WORLD.load, 1)[1])
    holed = WORLD.load.copy()
    holed[30] = np.nan
    assert np.isclose(level(holed, 2)[50], holed[20:48][~np.isnan(holed[20:48])].mean())


def test_without_weather_there_are_facts_of_load_and_calendar():
    made = facts(WORLD.load, None, 1, 9, None)
    assert made.shape[:2] == WORLD.load.shape
    assert made.shape[-1] < facts(WORLD.load, WORLD.temperature.observed_features(), 1, 9, WORLD.temperature.observed_features()).shape[-1]


def test_unknown_answers_are_not_learned_and_the_same_rows_give_the_same_trees():
    random = np.random.default_rng(2)
    rows = random.normal(0, 1, (60, 24, 3))
    answer = rows[..., 0] * 2.0
    holed = answer.copy()
    holed[:10] = np.nan
    ages = np.arange(60, 0, -1.0)
    first = fit_trees([rows], [holed], ages).predict(rows)
    rows_of_unknown = rows.copy()
    rows_of_unknown[:10] = 99.0
    np.testing.assert_array_equal(first, fit_trees([rows_of_unknown], [holed], ages).predict(rows))
    assert np.corrcoef(first[10:].ravel(), answer[10:].ravel())[0, 1] > 0.95

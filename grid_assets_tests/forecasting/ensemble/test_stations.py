import numpy as np

from grid_assets.forecasting.ensemble.node_models import NodeHistory
from grid_assets.forecasting.ensemble.stations import TRIAL_DAYS, choose_stations, mean_temperature
from grid_assets_tests.forecasting.ensemble.worlds import temperatures, world

WORLD = world(2 * TRIAL_DAYS + 40)
NEAR = WORLD.temperature.observed
STATIONS = {
    "near": NEAR + np.random.default_rng(1).normal(0, 1.5, NEAR.shape),
    "beside": NEAR + np.random.default_rng(2).normal(0, 1.5, NEAR.shape),
    "abroad": temperatures(WORLD.days, seed=99),
}


def test_the_stations_that_tell_the_load_are_chosen_and_together_where_that_is_better():
    assert choose_stations(WORLD, STATIONS, 2 * TRIAL_DAYS) == ("beside", "near")


def test_what_comes_later_does_not_choose():
    load, later = WORLD.load.copy(), {name: values.copy() for name, values in STATIONS.items()}
    for values in (load, *later.values()):
        values[2 * TRIAL_DAYS :] = 1e6
    changed = NodeHistory(WORLD.days, load, WORLD.temperature, WORLD.holidays, WORLD.known_hours)
    assert choose_stations(changed, later, 2 * TRIAL_DAYS) == choose_stations(WORLD, STATIONS, 2 * TRIAL_DAYS)


def test_a_short_history_takes_them_all_and_a_single_station_is_no_choice():
    assert choose_stations(WORLD, STATIONS, 300) == ("abroad", "beside", "near")
    assert choose_stations(WORLD, {"near": STATIONS["near"]}, 2 * TRIAL_DAYS) == ("near",)


def test_mean_of_the_stations_that_have_a_value():
    values = {"a": np.array([[1.0, np.nan, np.nan]]), "b": np.array([[3.0, 5.0, np.nan]])}
    np.testing.assert_array_equal(mean_temperature(values, ("a", "b")), [[2.0, 5.0, np.nan]])

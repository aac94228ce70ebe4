import numpy as np
import pytest

from grid_assets.forecasting.ensemble import trees
from grid_assets.forecasting.ensemble.node_models import MINIMUM_TRAINING_DAYS, NodeHistory, Scale, roll
from grid_assets.forecasting.ensemble.temperature_paths import TemperaturePaths
from grid_assets_tests.forecasting.ensemble.worlds import world

WORLD = world(420)
ISSUED = 400


@pytest.fixture(autouse=True)
def _few_trees(monkeypatch):
    monkeypatch.setattr(trees, "ROUNDS", 40)


def mape(forecast, actual):
    return 100 * np.nanmean(np.abs(forecast / actual - 1))


def test_both_models_learn_calendar_weather_and_lasting_errors():
    made = roll(WORLD, range(365, 415), (1,))[1]
    naive = np.concatenate([WORLD.load[:7], WORLD.load[:-7]])
    actual, here = WORLD.load[366:416], slice(366, 416)
    assert mape(made.regression[here], actual) < 1.6  # the noise of the world is 1.3 %
    assert mape(made.trees[here], actual) < 4.0
    assert mape(naive[here], actual) > 5.0


def test_without_weather_the_calendar_alone_still_beats_the_naive():
    blind = world(420, with_temperature=False)
    made = roll(blind, range(365, 415), (1,))[1]
    naive = np.concatenate([blind.load[:7], blind.load[:-7]])
    assert mape(made.regression[366:416], blind.load[366:416]) < 0.8 * mape(naive[366:416], blind.load[366:416])


@pytest.mark.parametrize("change", ["gone", "absurd"])
def test_everything_after_the_issue_time_may_change_and_the_forecast_stays(change):
    """Load and temperature observed after the issue time; what was forecast at the issue time stays, of course."""
    value = np.nan if change == "gone" else 1e6
    load, observed, known = WORLD.load.copy(), WORLD.temperature.observed.copy(), WORLD.temperature.known.copy()
    load[ISSUED, WORLD.known_hours :] = value
    load[ISSUED + 1 :] = value
    observed[ISSUED, WORLD.known_hours :] = value
    observed[ISSUED + 1 :] = value
    known[ISSUED + 1 :] = value
    changed = NodeHistory(WORLD.days, load, TemperaturePaths(observed, known), WORLD.holidays, WORLD.known_hours)
    before, after = (roll(one, [ISSUED], (0, 1, 2)) for one in (WORLD, changed))
    for offset in (0, 1, 2):
        np.testing.assert_array_equal(before[offset].regression[ISSUED + offset], after[offset].regression[ISSUED + offset])
        np.testing.assert_array_equal(before[offset].trees[ISSUED + offset], after[offset].trees[ISSUED + offset])


def test_a_day_is_told_the_same_whichever_days_are_asked_with_it():
    alone, together = roll(WORLD, [ISSUED], (1,))[1], roll(WORLD, range(370, 410), (1,))[1]
    np.testing.assert_allclose(alone.regression[ISSUED + 1], together.regression[ISSUED + 1], rtol=1e-9)
    np.testing.assert_allclose(alone.trees[ISSUED + 1], together.trees[ISSUED + 1], rtol=1e-9)


def test_models_that_were_kept_are_not_fitted_again():
    kept = {}
    first = roll(WORLD, [ISSUED], (1,), kept)[1]
    assert sorted(kind for kind, _ in kept) == ["regression", "trees"]
    before = dict(kept)
    again = roll(WORLD, [ISSUED, ISSUED + 1], (1,), kept)[1]
    assert kept == before
    np.testing.assert_allclose(first.regression[ISSUED + 1], again.regression[ISSUED + 1], rtol=1e-9)


def test_too_short_a_history_has_no_model():
    short = WORLD.part(0, MINIMUM_TRAINING_DAYS)
    made = roll(short, [MINIMUM_TRAINING_DAYS - 3], (1,))[1]
    assert np.isnan(made.regression).all()
    assert np.isnan(made.trees).all()


def test_missing_hours_and_days_are_no_fault():
    load = WORLD.load.copy()
    load[100:110] = np.nan
    load[200, 5:20] = np.nan
    load[ISSUED - 1] = np.nan
    holed = NodeHistory(WORLD.days, load, WORLD.temperature, WORLD.holidays, WORLD.known_hours)
    made = roll(holed, [ISSUED], (1,))[1]
    assert mape(made.regression[ISSUED + 1], WORLD.load[ISSUED + 1]) < 4.0
    assert np.isfinite(made.trees[ISSUED + 1]).all()


def test_a_constant_load_is_forecast_as_constant():
    constant = NodeHistory(WORLD.days, np.full(WORLD.load.shape, 250.0), WORLD.temperature, WORLD.holidays, WORLD.known_hours)
    made = roll(constant, [ISSUED], (1,))[1]
    np.testing.assert_allclose(made.regression[ISSUED + 1], 250.0, rtol=1e-6)
    np.testing.assert_allclose(made.trees[ISSUED + 1], 250.0, rtol=1e-6)


def test_a_load_that_turns_negative_behind_pv_is_forecast_with_its_sign():
    sun = np.maximum(0, np.sin((np.arange(24) - 6) * np.pi / 12)) * 1800.0
    net = NodeHistory(WORLD.days, WORLD.load - sun, WORLD.temperature, WORLD.holidays, WORLD.known_hours)
    assert not Scale.of(net.load).logarithmic
    made = roll(net, [ISSUED], (1,))[1].regression[ISSUED + 1]
    assert made[12] < 0 < made[0]
    assert np.abs(made - net.load[ISSUED + 1]).max() < 150.0


def test_scale_goes_there_and_back():
    for load in (np.array([[5.0, 10.0]]), np.array([[-5.0, 10.0]]), np.zeros((1, 2))):
        scale = Scale.of(load)
        np.testing.assert_allclose(scale.power(scale.seen(load)), load, atol=1e-12)
    positive = Scale.of(np.array([[5.0, 10.0]]))
    assert np.isfinite(positive.seen(np.array([-3.0, 0.0]))).all()


def test_models_fitted_anew_count_from_their_day_on_and_know_the_changed_world():
    load = WORLD.load.copy()
    load[366:, 8:20] *= np.where(np.arange(8, 20) < 14, 1.5, 0.6)  # another shape of the day, on the second of January
    changed = NodeHistory(WORLD.days, load, WORLD.temperature, WORLD.holidays, WORLD.known_hours)
    issued, refit = range(385, 415), 390
    fitted = {}
    before = roll(changed, issued, (1,), fitted)[1]
    after = roll(changed, issued, (1,), fitted, refits=[WORLD.days[refit]])[1]
    np.testing.assert_array_equal(before.regression[: refit + 1], after.regression[: refit + 1])
    np.testing.assert_array_equal(before.trees[: refit + 1], after.trees[: refit + 1])
    assert ("regression", WORLD.days[refit]) in fitted
    # the forecast that is issued on the day of the refit is the first of the new models
    for kind in ("regression", "trees"):
        assert (getattr(before, kind)[refit + 1] != getattr(after, kind)[refit + 1]).all()
    month_end = [n for n in range(refit + 1, 416) if WORLD.days[n - 1].month == WORLD.days[refit].month]
    assert mape(after.regression[month_end], load[month_end]) < 0.9 * mape(before.regression[month_end], load[month_end])
    # later months are fitted on their own days
    later = [n for n in range(refit + 1, 416) if n not in month_end]
    np.testing.assert_array_equal(before.regression[later], after.regression[later])

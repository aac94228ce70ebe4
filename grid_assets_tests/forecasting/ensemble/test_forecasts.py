import numpy as np
import pytest

from grid_assets.forecasting.ensemble import trees
from grid_assets.forecasting.ensemble.forecasts import ERROR_DAYS, MINIMUM_ERROR_DAYS, conformal_quantiles, forecast
from grid_assets.forecasting.tables import QUANTILES
from grid_assets_tests.forecasting.ensemble.worlds import world


def test_the_band_holds_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(trees, "ROUNDS", 40)
    history = world(620)
    made = forecast(history, range(500, 615), (1,), QUANTILES)[1]
    here = slice(501, 616)
    actual, low, high = history.load[here], made.quantiles[0, here], made.quantiles[-1, here]
    inside = (actual >= low) & (actual <= high)
    assert 0.86 < inside.mean() < 0.95
    assert (np.diff(made.quantiles[:, here], axis=0) >= 0).all()
    assert np.isnan(made.mean[:501]).all()  # warming up is not published


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_quantiles_look_at_errors_before_the_issue_day_only(offset):
    random = np.random.default_rng(4)
    mean = np.full((120, 24), 100.0)
    actual = mean + random.normal(0, 5, mean.shape)
    later = actual.copy()
    later[110 - offset :] = 1e6
    earlier = actual.copy()
    earlier[: 110 - offset - ERROR_DAYS] = 1e6
    made = [conformal_quantiles(mean, one, offset, [110], QUANTILES)[:, 110] for one in (actual, later, earlier)]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])


def test_quantiles_of_errors_in_their_own_unit():
    mean = np.full((100, 24), 200.0)
    mean[99] = 400.0
    actual = mean * (1 + np.linspace(-0.1, 0.1, 100)[:, None])
    made = conformal_quantiles(mean, actual, 1, [99], (0.05, 0.5, 0.95))[:, 99, 12] / 400.0 - 1
    past = np.linspace(-0.1, 0.1, 100)[98 - ERROR_DAYS : 98]
    np.testing.assert_allclose(made, np.quantile(past, [0.05, 0.5, 0.95]), atol=0.004)


def test_too_few_errors_give_no_quantiles():
    mean = np.full((40, 24), 100.0)
    mean[: 40 - MINIMUM_ERROR_DAYS] = np.nan
    assert np.isnan(conformal_quantiles(mean, mean, 1, [38], QUANTILES)[:, 38]).all()

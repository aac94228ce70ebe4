import numpy as np
import pytest

from grid_assets.forecasting.ensemble import trees
from grid_assets.forecasting.ensemble.forecasts import (
    EASE,
    ERROR_DAYS,
    MINIMUM_ERROR_DAYS,
    RECENT_DAYS,
    conformal_quantiles,
    difficulty,
    forecast,
)
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


SEEN = ERROR_DAYS + RECENT_DAYS


@pytest.mark.parametrize("offset", [0, 1, 3])
def test_quantiles_look_at_errors_before_the_issue_day_only(offset):
    random = np.random.default_rng(4)
    mean = np.full((130, 24), 100.0)
    actual = mean + random.normal(0, 5, mean.shape)
    later = actual.copy()
    later[120 - offset :] = 1e6
    earlier = actual.copy()
    earlier[: 120 - 2 * offset - SEEN] = 1e6
    made = [conformal_quantiles(mean, mean, one, offset, [120], QUANTILES)[:, 120] for one in (actual, later, earlier)]
    np.testing.assert_array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[0], made[2])


def test_quantiles_of_errors_in_their_own_unit():
    """Twice the unit, twice the band; the width stays while the last days' bands hold as they should."""
    random = np.random.default_rng(7)
    mean = np.full((140, 24), 200.0)
    actual = mean * (1 + random.uniform(-0.1, 0.1, mean.shape))
    unit = mean.copy()
    unit[139] *= 2.0
    made = conformal_quantiles(mean, unit, actual, 1, [138, 139], (0.05, 0.5, 0.95)) - mean
    np.testing.assert_allclose(made[:, 138, 12], [-18.0, 0.0, 18.0], atol=3.0)
    np.testing.assert_allclose(made[[0, 2], 139].mean(1) / made[[0, 2], 138].mean(1), 2.0, rtol=0.15)


def test_bands_widen_after_a_fortnight_of_misses_and_narrow_again():
    random = np.random.default_rng(9)
    mean = np.full((200, 24), 100.0)
    actual = mean + random.normal(0, 2, mean.shape)
    wild = actual.copy()
    wild[140:160] += random.normal(0, 12, (20, 24))
    targets = [139, 161, 199]

    def widths(came):
        made = conformal_quantiles(mean, mean, came, 1, targets, (0.05, 0.95))
        return (made[1, targets] - made[0, targets]).mean(axis=1)

    calm, upset = widths(actual), widths(wild)
    assert upset[0] == calm[0]
    assert upset[1] > 2.0 * calm[1]
    assert upset[2] < 0.6 * upset[1]


def test_hours_on_which_the_models_disagree_are_hard():
    trees_said = np.full((120, 24), 100.0)
    regression = trees_said * 1.02
    regression[110, 12:18] = 130.0
    made = difficulty(regression, trees_said, 1)
    assert made[110, 14] > 1.9 * made[110, 3]
    assert made[109] == pytest.approx(1 + EASE)
    assert made[3] == pytest.approx(1 + EASE)  # nothing is usual yet


def test_too_few_errors_give_no_quantiles():
    mean = np.full((40, 24), 100.0)
    actual = mean.copy()
    actual[: 40 - MINIMUM_ERROR_DAYS] = np.nan
    assert np.isnan(conformal_quantiles(mean, mean, actual, 1, [38], QUANTILES)[:, 38]).all()

import numpy as np
from sklearn.linear_model import Ridge

from grid_assets.forecasting.ensemble.hourly_ridge import fit_hourly_ridge


def data(days=60, terms=4, seed=3):
    random = np.random.default_rng(seed)
    x = random.normal(2.0, [[[1.0, 5.0, 0.2, 3.0]]], (days, 24, terms))
    y = x @ np.array([1.0, -0.5, 4.0, 0.0]) + np.arange(24) + random.normal(0, 0.5, (days, 24))
    return x, y


def test_it_is_ridge_on_standardised_terms_of_each_hour():
    x, y = data()
    weights = np.linspace(0.2, 1.0, len(x))
    weights[5] = 0.0
    made = fit_hourly_ridge(x, y, weights, 7.0)
    for hour in (0, 13):
        mean = np.average(x[:, hour], axis=0, weights=weights)
        spread = np.sqrt(np.average((x[:, hour] - mean) ** 2, axis=0, weights=weights))
        peer = Ridge(alpha=7.0).fit((x[:, hour] - mean) / spread, y[:, hour], sample_weight=weights)
        np.testing.assert_allclose(made.predict(x)[:, hour], peer.predict((x[:, hour] - mean) / spread), rtol=1e-9)


def test_unknown_answers_and_days_without_weight_do_not_count():
    x, y = data()
    weights = np.ones(len(x))
    holed, weightless = y.copy(), weights.copy()
    holed[3, 7] = holed[9, 7] = np.nan
    changed = y.copy()
    changed[20] = 1e6
    weightless[20] = 0.0
    alone = fit_hourly_ridge(np.delete(x, [3, 9], 0), np.delete(y, [3, 9], 0), np.ones(len(x) - 2), 5.0)
    np.testing.assert_allclose(fit_hourly_ridge(x, holed, weights, 5.0).predict(x)[:, 7], alone.predict(x)[:, 7])
    without = fit_hourly_ridge(np.delete(x, 20, 0), np.delete(y, 20, 0), np.ones(len(x) - 1), 5.0)
    np.testing.assert_allclose(fit_hourly_ridge(x, changed, weightless, 5.0).predict(x), without.predict(x))


def test_a_term_that_never_varies_has_no_coefficient_and_an_hour_without_answers_is_zero():
    x, y = data()
    x[..., 2] = 5.0
    y[:, 4] = np.nan
    made = fit_hourly_ridge(x, y, np.ones(len(x)), 5.0)
    assert (made.coefficients[:, 2] == 0).all()
    assert (made.predict(x)[:, 4] == 0).all()
    assert np.isfinite(made.predict(x)).all()

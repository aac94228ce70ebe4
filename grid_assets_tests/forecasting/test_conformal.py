"""Error quantiles against hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest

from grid_assets.forecasting.conformal import corrected_level, error_quantiles


def test_corrected_levels_by_hand():
    np.testing.assert_allclose(corrected_level(0.9, np.array([9.0, 99.0])), [1.0, 0.9 * 100 / 99])
    np.testing.assert_allclose(corrected_level(0.1, np.array([9.0, 99.0])), [0.0, 1 - 0.9 * 100 / 99])
    np.testing.assert_allclose(corrected_level(0.5, np.array([9.0])), [0.5])


def test_hours_beside_count_and_no_others():
    errors = np.zeros((1, 1, 24))
    errors[0, 0, 12] = 6.0
    middle = error_quantiles(errors, [0.95])[0, 0]
    assert middle[11] == middle[12] == middle[13] == 6.0
    assert middle[10] == middle[14] == 0.0


def test_interpolated_order_statistic_by_hand():
    errors = np.tile(np.arange(7.0)[None, :, None], (1, 1, 24))  # 21 errors an hour: 0, 0, 0, 1, 1, 1, ... 6, 6, 6
    got = error_quantiles(errors, [0.25, 0.5, 0.75])[:, 0, 5]
    # 0.75 * 22 / 21 = 0.785714; place 15.714 of 0..20 lies in the fives
    np.testing.assert_allclose(got, [1.0, 3.0, 5.0])
    place = 0.9 * 22 / 21 * 20  # 18.857: the sixes
    assert error_quantiles(errors, [0.9])[0, 0, 5] == pytest.approx(6.0)
    assert place > 18


def test_missing_errors_are_left_out_and_none_gives_nan():
    errors = np.full((2, 3, 24), np.nan)
    errors[0, 1, :] = -2.0
    got = error_quantiles(errors, [0.05, 0.95])
    np.testing.assert_allclose(got[:, 0], -2.0)
    assert np.isnan(got[:, 1]).all()


def test_coverage_on_exchangeable_errors():
    generator = np.random.default_rng(11)
    errors = generator.gamma(2.0, 1.0, (400, 29, 24))
    bands = error_quantiles(errors[:, :28], [0.05, 0.95])
    inside = (errors[:, 28] >= bands[0]) & (errors[:, 28] <= bands[1])
    assert inside.mean() == pytest.approx(0.9, abs=0.015)

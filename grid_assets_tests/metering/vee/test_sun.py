"""The sun's elevation against a library's, and nights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from grid_assets.metering.vee.sun import night_intervals, solar_elevation


@pytest.mark.parametrize(("latitude", "longitude"), [(53.42, 11.81), (-33.9, 151.2), (0.0, -78.5), (69.6, 18.9)])
def test_the_elevation_is_that_of_a_solar_library(latitude, longitude):
    from pvlib.solarposition import get_solarposition

    instants = pd.date_range("2024-01-01", "2026-12-31", freq="3457min", tz="UTC")
    expected = get_solarposition(instants, latitude, longitude)["elevation"].to_numpy()
    np.testing.assert_allclose(solar_elevation(latitude, longitude, instants), expected, atol=0.02)


def test_a_night_is_dark_from_its_beginning_to_its_end():
    starts = pd.date_range("2025-06-21", periods=96, freq="15min", tz="UTC")
    night = night_intervals(53.42, 11.81, starts, 0.25, -6.0)
    elevation = solar_elevation(53.42, 11.81, pd.date_range("2025-06-21", periods=97, freq="15min", tz="UTC"))
    assert 8 < night.sum() < 24
    assert (night == ((elevation[:-1] < -6) & (elevation[1:] < -6))).all()
    assert night[:4].all()
    assert not night[20:80].any()
    assert night_intervals(53.42, 11.81, starts, 0.25, 0.0).sum() > night.sum()
    assert not night_intervals(69.6, 18.9, starts, 0.25, 0.0).any()  # the sun does not set

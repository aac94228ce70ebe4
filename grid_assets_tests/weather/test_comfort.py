"""How weather feels against the published tables."""

from __future__ import annotations

import numpy as np
import pytest

from grid_assets.weather.comfort import dew_point_degc, heat_index_degc, wind_chill_degc

HEAT_INDEX_DEGF = {
    40: "80 81 83 85 88 91 94 97 101 105 109 114 119 124 130 136", 45: "80 82 84 87 89 93 96 100 104 109 114 119 124 130 137",
    50: "81 83 85 88 91 95 99 103 108 113 118 124 131 137", 55: "81 84 86 89 93 97 101 106 112 117 124 130 137",
    60: "82 84 88 91 95 100 105 110 116 123 129 137", 65: "82 85 89 93 98 103 108 114 121 128 136",
    70: "83 86 90 95 100 105 112 119 126 134", 75: "84 88 92 97 103 109 116 124 132", 80: "84 89 94 100 106 113 121 129",
    85: "85 90 96 102 110 117 126 135", 90: "86 91 98 105 113 122 131", 95: "86 93 100 108 117 127", 100: "87 95 103 112 121 132",
}  # fmt: skip
"""The chart of the US National Weather Service: relative humidity, % -> heat index at 80, 82, 84 .. degF."""

WIND_CHILL_DEGF = {
    5: "36 25 13 1 -11 -22 -34 -46 -57", 10: "34 21 9 -4 -16 -28 -41 -53 -66", 20: "30 17 4 -9 -22 -35 -48 -61 -74",
    40: "27 13 -1 -15 -29 -43 -57 -71 -84", 60: "25 10 -4 -19 -33 -48 -62 -76 -91",
}  # fmt: skip
"""The chart of the US National Weather Service of 2001: wind, mph -> wind chill at 40, 30 .. -40 degF."""

WIND_CHILL_DEGC = {
    5: "-2 -13 -24 -36 -47", 10: "-3 -15 -27 -39 -51", 20: "-5 -18 -30 -43 -56", 30: "-6 -20 -33 -46 -59", 40: "-7 -21 -34 -48 -61",
}  # fmt: skip
"""The chart of Environment Canada: wind, km/h -> wind chill at 0, -10 .. -40 degC."""


def numbers(text: str) -> np.ndarray:
    return np.array(text.split(), float)


def celsius(degf: np.ndarray | float) -> np.ndarray:
    return (np.asarray(degf, float) - 32) / 1.8


@pytest.mark.parametrize("humidity", sorted(HEAT_INDEX_DEGF))
def test_heat_index_is_that_of_the_chart(humidity: int):
    chart = numbers(HEAT_INDEX_DEGF[humidity])
    degf = 80 + 2.0 * np.arange(len(chart))
    damp = np.where((humidity > 85) & (degf <= 87), (humidity - 85) / 10 * (87 - degf) / 5, 0.0)  # the chart is older than this adjustment
    made = heat_index_degc(celsius(degf), np.full(len(chart), float(humidity))) * 1.8 + 32
    assert np.abs(made - chart - damp).max() <= 1.0  # the chart is rounded, and at 90 degF with 45 and 70 % it departs by up to 1


def test_heat_index_by_the_formula_itself():
    """Worked by hand from the published coefficients: the regression, both adjustments, the simple formula."""
    t, r = np.array([95.0, 95.0, 82.0, 70.0]), np.array([50.0, 10.0, 90.0, 50.0])
    regression = (
        -42.379 + 2.04901523 * t + 10.14333127 * r - 0.22475541 * t * r - 0.00683783 * t * t - 0.05481717 * r * r
        + 0.00122874 * t * t * r + 0.00085282 * t * r * r - 0.00000199 * t * t * r * r
    )  # fmt: skip
    wanted = [regression[0], regression[1] - 0.75, regression[2] + 0.5, 0.5 * (70 + 61 + 2 * 1.2 + 50 * 0.094)]
    assert heat_index_degc(celsius(t), r) * 1.8 + 32 == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("wind", sorted(WIND_CHILL_DEGF))
def test_wind_chill_is_that_of_the_american_chart(wind: int):
    wanted = numbers(WIND_CHILL_DEGF[wind])
    made = wind_chill_degc(celsius(40 - 10.0 * np.arange(len(wanted))), np.full(len(wanted), wind * 0.44704)) * 1.8 + 32
    assert np.abs(made - wanted).max() < 0.6  # the chart is rounded


@pytest.mark.parametrize("wind", sorted(WIND_CHILL_DEGC))
def test_wind_chill_is_that_of_the_canadian_chart(wind: int):
    wanted = numbers(WIND_CHILL_DEGC[wind])
    made = wind_chill_degc(-10.0 * np.arange(len(wanted)), np.full(len(wanted), wind / 3.6))
    assert np.abs(made - wanted).max() < 0.55


def test_wind_chill_outside_of_its_range_is_the_temperature():
    made = wind_chill_degc(np.array([10.1, 25.0, -5.0, -5.0, np.nan]), np.array([10.0, 10.0, 1.2, np.nan, 5.0]))
    assert made[:3].tolist() == [10.1, 25.0, -5.0]
    assert np.isnan(made[3:]).all()
    assert wind_chill_degc(np.array([10.0]), np.array([10.0]))[0] < 10.0


def test_dew_point():
    made = dew_point_degc(np.array([20.0, 30.0, 0.0, 15.0]), np.array([50.0, 80.0, 100.0, 0.0]))
    assert made[:3] == pytest.approx([9.26, 26.17, 0.0], abs=0.03)
    assert np.isfinite(made[3])
    assert np.isnan(dew_point_degc(np.array([np.nan]), np.array([50.0]))).all()

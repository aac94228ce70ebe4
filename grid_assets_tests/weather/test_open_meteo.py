"""Answers in the documented shape of Open-Meteo (made up by us, see service.py) as means of hours."""

from __future__ import annotations

from urllib.parse import parse_qs

import numpy as np
import pandas as pd
import pytest

from grid_assets.foundation.weather_section import OpenMeteoInput, WeatherSection
from grid_assets.weather.answers import NoAnswer
from grid_assets.weather.observations import VARIABLES
from grid_assets.weather.open_meteo import fields_of, path_of, rows_of
from grid_assets_tests.weather.service import answer, body

START = "2026-03-28"


def test_an_instant_stands_at_the_edge_of_hours_and_radiation_at_the_end_of_its_hour():
    made = answer(START, 5, temperature_2m=[0.0, 2.0, 4.0, None, 10.0], shortwave_radiation=[1.0, 2.0, 3.0, 4.0, 5.0])
    rows = rows_of(body(made))
    assert list(rows.columns) == ["start_utc", *VARIABLES]
    assert rows["start_utc"].tolist() == list(pd.date_range(START, periods=4, freq="h", tz="UTC"))
    assert rows["temperature_degc"].tolist() == [1.0, 3.0, 4.0, 10.0]  # the one edge that is known stands for the hour
    assert rows["ghi_w_m2"].tolist() == [2.0, 3.0, 4.0, 5.0]


def test_null_stays_null_and_hours_without_anything_are_left_out():
    nothing = {
        name: [1.0, 1.0, None, None, None] for name in ("relative_humidity_2m", "wind_speed_10m", "shortwave_radiation", "cloud_cover")
    }
    rows = rows_of(body(answer(START, 5, temperature_2m=[None] * 5, **nothing)))
    assert rows["temperature_degc"].isna().all()
    assert len(rows) == 2


@pytest.mark.parametrize("absurd", [80.0, -90.0, float("inf")])
def test_a_mean_hides_nothing_that_cannot_be(absurd: float):
    rows = rows_of(body(answer(START, 5, temperature_2m=[20.0, 20.0, absurd, 20.0, 20.0])))
    assert rows["temperature_degc"].tolist() == [20.0, absurd, absurd, 20.0]  # (20 + 80) / 2 would look possible


def test_the_days_on_which_clocks_change_have_their_hours():
    """29 March 2026 has 23 hours in Berlin, 25 October 25; hours of UTC know nothing of it."""
    for start in ("2026-03-29", "2026-10-25"):
        rows = rows_of(body(answer(start, 49)))
        assert len(rows) == 48
        assert (rows["start_utc"].diff().dropna() == pd.Timedelta("1h")).all()


def test_members_are_numbered_from_the_control_run_on():
    made = answer(START, 30, members=3)
    rows = rows_of(body(made), members=True)
    assert rows.groupby("member").size().to_dict() == {0: 29, 1: 29, 2: 29}
    third = rows.loc[rows["member"] == 2, "temperature_degc"].to_numpy()
    told = np.array(made["hourly"]["temperature_2m_member02"])
    assert np.allclose(third, (told[1:] + told[:-1]) / 2)
    with pytest.raises(NoAnswer, match="no members of temperature_2m"):
        rows_of(body(answer(START, 30)), members=True)


def wrong(**changed: object) -> bytes:
    return body(answer(START, 5, **changed))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (body(answer(START, 5))[:-20], "no JSON .*cut off"),
        (b"<html>maintenance</html>", "no JSON"),
        (b"[1, 2]", "no hourly"),
        (b'{"hourly": []}', "no hourly"),
        (body({**answer(START, 5), "hourly_units": None}), "no hourly_units"),
        (wrong(utc_offset_seconds=3600, timezone="Europe/Berlin"), "clock is 'Europe/Berlin'"),
        (wrong(hourly_units={"time": "iso8601"}), "'iso8601'; expected unixtime"),
        (
            wrong(hourly_units={**answer(START, 5)["hourly_units"], "temperature_2m": "°F"}),
            "temperature_2m is in '°F' with 5 values; expected °C",
        ),
        (wrong(time=["2026-03-28T00:00"] * 5), "hourly.time is no list of hours"),
        (wrong(time=[0, 3600, 7200, 14400, 18000]), "hourly.time is no list of hours"),
        (wrong(cloud_cover=[1.0, 2.0]), "cloud_cover is in '%' with 2 values; expected % and 5"),
        (wrong(cloud_cover="many"), "cloud_cover"),
    ],
)
def test_another_answer_than_asked_for_is_refused_in_words(given: bytes, said: str):
    with pytest.raises(NoAnswer, match=said):
        rows_of(given)


def test_the_question_asks_for_gmt_and_our_units():
    source = OpenMeteoInput(provider="open_meteo", model="icon_seamless", members=True)
    place = WeatherSection(
        station_id="s", latitude=52.5, longitude=13.4, altitude_m=38, observations=OpenMeteoInput(provider="open_meteo"), forecasts=source
    )
    asked = fields_of(place, source, coming_days=40, past_days=400)
    assert path_of(source) == "https://ensemble-api.open-meteo.com/v1/ensemble"
    assert path_of(OpenMeteoInput(provider="open_meteo")) == "https://api.open-meteo.com/v1/forecast"
    assert asked["hourly"] == "temperature_2m,relative_humidity_2m,wind_speed_10m,shortwave_radiation,cloud_cover"
    assert (asked["timezone"], asked["timeformat"], asked["wind_speed_unit"], asked["temperature_unit"]) == (
        "GMT",
        "unixtime",
        "ms",
        "celsius",
    )
    assert (asked["forecast_days"], asked["past_days"], asked["models"]) == ("16", "92", "icon_seamless")
    assert not parse_qs("&".join(asked)).keys() & {"apikey"}

"""Weather from a service in the site file: what may be asked of whom, and what is refused at its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid_assets.foundation.site import SiteError
from grid_assets.foundation.weather_section import OpenMeteoInput, WeatherInput
from grid_assets_tests.foundation.test_site import FULL, line_of, load

SERVICE = (
    FULL[: FULL.index("[weather.forecasts]")]
    + """[weather.forecasts]
provider = "open_meteo"
base_url = "http://127.0.0.1:8123/"
model = "icon_seamless"
members = true
"""
)


def test_weather_may_come_from_a_service(tmp_path: Path):
    chosen = load(tmp_path, SERVICE).weather
    assert chosen is not None
    assert isinstance(chosen.observations, WeatherInput)
    assert isinstance(chosen.forecasts, OpenMeteoInput)
    assert chosen.forecasts.address == "http://127.0.0.1:8123"
    public = SERVICE.replace('base_url = "http://127.0.0.1:8123/"\n', "")
    assert load(tmp_path, public).weather.forecasts.address == "https://ensemble-api.open-meteo.com"
    assert load(tmp_path, public.replace("members = true\n", "")).weather.forecasts.address == "https://api.open-meteo.com"


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ('model = "icon_seamless"\n', "", "weather.forecasts.members", "needs model"),
        ('model = "icon_seamless"', 'model = "icon_eu,gfs05"', "weather.forecasts.model", "pattern"),
        ("members = true", "member = true", "weather.forecasts.member", "unknown key; did you mean members?"),
        ('provider = "open_meteo"', 'provider = "meteo"', "weather.forecasts.provider", "'files' or 'open_meteo'"),
        (
            'base_url = "http://127.0.0.1:8123/"',
            'base_url = "ftp://a/"',
            "weather.forecasts.base_url",
            "expected an address such as https://",
        ),
        (
            'base_url = "http://127.0.0.1:8123/"',
            'base_url = "https://a:b@c/"',
            "weather.forecasts.base_url",
            "without a query or a password",
        ),
        ("members = true", "attempts = 0", "weather.forecasts.attempts", "greater than or equal to 1"),
    ],
)
def test_a_service_that_cannot_be_is_refused_at_its_line(tmp_path: Path, old: str, new: str, key: str, said: str):
    assert old in SERVICE
    changed = SERVICE.replace(old, new, 1)
    with pytest.raises(SiteError) as raised:
        load(tmp_path, changed)
    told = [line for line in str(raised.value).splitlines() if f": {key}: " in line]
    assert len(told) == 1
    assert said in told[0]
    assert f"line {line_of(changed, new or 'members = true')}: " in told[0]


def test_a_key_is_sent_over_https_only(tmp_path: Path):
    with_key = SERVICE.replace("members = true", 'members = true\napi_key_variable = "K"')
    assert load(tmp_path, with_key).weather is not None  # on loopback nobody listens in
    with pytest.raises(SiteError, match=r"base_url: 'http://weather.example': a key is sent over https only"):
        load(tmp_path, with_key.replace("http://127.0.0.1:8123/", "http://weather.example"))
    with pytest.raises(SiteError, match="what has been has no members"):
        load(tmp_path, FULL.replace(FULL[FULL.index("[weather.observations]") : FULL.index("[weather.forecasts]")], OBSERVED_MEMBERS))
    with pytest.raises(SiteError, match=r"observations.columns.member: observations have none"):
        load(tmp_path, FULL.replace('temperature_degc = "a"', 'member = "a"', 1))


OBSERVED_MEMBERS = """[weather.observations]
provider = "open_meteo"
model = "icon_seamless"
members = true
"""

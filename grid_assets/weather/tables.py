"""The tables that weather publishes."""

from __future__ import annotations

from grid_assets.foundation.tables import Table, flag, instant, number, text

_WEATHER = (
    number("temperature_degc", "air temperature at 2 m", nullable=True),
    number("humidity_pct", "relative humidity", nullable=True),
    number("wind_speed_m_s", "wind speed at 10 m", nullable=True),
    number("ghi_w_m2", "global horizontal irradiance", nullable=True),
    number("cloud_cover_pct", "sky covered by clouds", nullable=True),
)

OBSERVATIONS = Table(
    "weather", "observations", "a station and interval, as observed", "site_day", ("station_id", "start_utc"),
    (
        text("station_id", "the station or grid point"),
        instant("start_utc", "start of the interval"),
        *_WEATHER,
        text("source", "what the values are: observed, or synthetic and how"),
    ),
)  # fmt: skip

FORECASTS = Table(
    "weather", "forecasts", "a station and interval, as forecast at issued_utc", "site_day", ("station_id", "issued_utc", "start_utc"),
    (
        text("station_id", "the station or grid point"),
        instant("issued_utc", "when the forecast became known"),
        instant("start_utc", "start of the interval that it speaks of"),
        *_WEATHER,
        text("source", "provider, or persistence where the site has none"),
    ),
)  # fmt: skip

FEATURES = Table(
    "weather", "features", "a station and interval: the observed day, and the horizon as forecast at the day's issue time", "site_day", ("station_id", "basis", "start_utc"),
    (
        text("station_id", "the station or grid point"),
        text("basis", "observed (the partition's own day) or forecast (from the issue time to the end of the horizon)"),
        instant("start_utc", "start of the interval"),
        number("temperature_degc", "air temperature", nullable=True),
        number("temperature_mean_24h_degc", "mean of the 24 hours up to this interval", nullable=True),
        number("temperature_mean_72h_degc", "mean of the 72 hours up to this interval", nullable=True),
        number("heating_degc", "degrees below 15.5 degC, the British base temperature", nullable=True),
        number("cooling_degc", "degrees above 22 degC", nullable=True),
        number("humidity_pct", "relative humidity", nullable=True),
        number("wind_speed_m_s", "wind speed", nullable=True),
        number("ghi_w_m2", "global horizontal irradiance", nullable=True),
        number("clear_sky_ghi_w_m2", "irradiance of a cloudless sky at this time and place", nullable=True),
        number("clear_sky_index", "irradiance against that of a cloudless sky; 0 at night", unit="-", nullable=True),
        number("solar_elevation_degree", "height of the sun above the horizon at the middle of the interval"),
        flag("holiday", "whether the local day is a public holiday of the site's country"),
    ),
)  # fmt: skip

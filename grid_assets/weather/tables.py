"""The tables that weather publishes."""

from __future__ import annotations

from grid_assets.foundation.tables import Table, count, flag, instant, number, text

_WEATHER = (
    number("temperature_degc", "air temperature at 2 m", nullable=True),
    number("humidity_pct", "relative humidity", nullable=True),
    number("wind_speed_m_s", "wind speed at 10 m", nullable=True),
    number("ghi_w_m2", "global horizontal irradiance", nullable=True),
    number("cloud_cover_pct", "sky covered by clouds", nullable=True),
)

_IMPOSSIBLE = count(
    "impossible_values", "values that cannot be (infinite, no number, 80 degC) and were taken out of the rows that this is from"
)

OBSERVATIONS = Table(
    "weather", "observations", "a station and interval, as observed", "site_day", ("station_id", "start_utc"),
    (
        text("station_id", "the station or grid point"),
        instant("start_utc", "start of the interval"),
        *_WEATHER,
        _IMPOSSIBLE,
        text("source", "what the values are: observed, or synthetic and how"),
    ),
)  # fmt: skip

FORECASTS = Table(
    "weather", "forecasts", "a station and interval, as expected at the issue time", "site_day", ("station_id", "issued_utc", "start_utc"),
    (
        text("station_id", "the station or grid point"),
        instant("issued_utc", "when the row's forecast became known; of persistence the run's issue time"),
        instant("start_utc", "start of the interval that it speaks of"),
        *_WEATHER,
        number("temperature_deviation_degc", "standard deviation of the temperature's error to expect, from past errors, members or a default curve", nullable=True),
        _IMPOSSIBLE,
        text("source", "which forecast, its age if it is old; persistence, of all values or of those named; nothing known"),
    ),
)  # fmt: skip

FORECAST_MEMBERS = Table(
    "weather", "forecast_members", "a member of an ensemble forecast and an interval, as known at the issue time", "site_day",
    ("station_id", "issued_utc", "member", "start_utc"),
    (
        text("station_id", "the station or grid point"),
        instant("issued_utc", "when the forecast became known"),
        count("member", "number of the member; 0 is the control run where the provider has one"),
        instant("start_utc", "start of the interval that it speaks of; as far as the member reaches"),
        *_WEATHER,
    ),
)  # fmt: skip

FEATURES = Table(
    "weather", "features", "a station and interval: the observed day, and the horizon as forecast at the day's issue time", "site_day", ("station_id", "basis", "start_utc"),
    (
        text("station_id", "the station or grid point"),
        text("basis", "observed (the partition's own day) or forecast (from the issue time to the end of the horizon)"),
        instant("start_utc", "start of the interval"),
        number("temperature_degc", "air temperature", nullable=True),
        number("temperature_deviation_degc", "standard deviation of the forecast's error to expect; null where observed", nullable=True),
        number("temperature_lag_1h_degc", "air temperature an hour before", nullable=True),
        number("temperature_lag_3h_degc", "air temperature three hours before", nullable=True),
        number("temperature_lag_24h_degc", "air temperature a day before", nullable=True),
        number("temperature_mean_3h_degc", "mean of the 3 hours up to this interval", nullable=True),
        number("temperature_mean_24h_degc", "mean of the 24 hours up to this interval", nullable=True),
        number("temperature_mean_72h_degc", "mean of the 72 hours up to this interval", nullable=True),
        number("temperature_memory_48h_degc", "exponential mean of the hours up to this interval, time constant 48 h", nullable=True),
        number("temperature_memory_120h_degc", "the same with a time constant of 120 h: the heat that buildings hold", nullable=True),
        number("heating_degc", "degrees below 15.5 degC, the British base temperature", nullable=True),
        number("cooling_degc", "degrees above 22 degC", nullable=True),
        number("heat_index_degc", "how warm it feels in the shade, by temperature and humidity (US National Weather Service)", nullable=True),
        number("wind_chill_degc", "how cold it feels in the wind, to 10 degC and from 4.8 km/h on (2001); else the temperature", nullable=True),
        number("dew_point_degc", "temperature at which the air's moisture condenses", nullable=True),
        number("humidity_pct", "relative humidity", nullable=True),
        number("wind_speed_m_s", "wind speed", nullable=True),
        number("ghi_w_m2", "global horizontal irradiance", nullable=True),
        number("clear_sky_ghi_w_m2", "irradiance of a cloudless sky at this time and place", nullable=True),
        number("clear_sky_index", "irradiance against that of a cloudless sky; 0 at night", unit="-", nullable=True),
        number("solar_elevation_degree", "height of the sun above the horizon at the middle of the interval"),
        number("solar_azimuth_degree", "direction of the sun at the middle of the interval, from north over east"),
        flag("holiday", "whether the local day is a public holiday of the site's country"),
    ),
)  # fmt: skip

FEATURES_UNDER_WAY = Table(
    "weather", "features_under_way", "a station and coming interval, as forecast at an instant in the course of the day after the partition's", "intraday",
    FEATURES.keys, FEATURES.fields,
)  # fmt: skip

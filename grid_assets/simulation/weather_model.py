"""Seeded weather that fits the demo's generation: irradiance and wind are read back from the SimBench profiles.

* Irradiance: the solar profile against a cloudless sky (Haurwitz 1945, which needs no turbidity) gives a clear-sky index,
  scaled so that its 98th percentile at high sun is 1; irradiance is the index times the cloudless sky.
* Cloud cover N from the index k: k = 1 - 0.75 N^3.4 (Kasten and Czeplak, Solar Energy 24, 1980).
* Wind: the cubic power curve p = (v^3 - 3^3) / (12^3 - 3^3) of a hub is inverted and brought down to 10 m by 0.7.
* Temperature: yearly and daily course, damped under cloud, and a first-order autoregressive deviation of days.
* Humidity: 75 % less 2.2 % per degree above the day's mean, more under cloud.
"""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar, days_between

SOLAR_PROFILE, WIND_PROFILE = "PV3", "WP10"
CUT_IN_M_S, RATED_M_S, TO_TEN_METRES = 3.0, 12.0, 0.7
ISSUED_HOUR = 6
HORIZON_DAYS = 3
LOW_SUN_DEGREE = 15.0
VARIABLES = ("temperature", "humidity", "wind_speed", "ghi", "cloud_cover")


def observations(renewables: pd.DataFrame, start_utc: pd.DatetimeIndex, latitude: float, longitude: float, seed: int) -> pd.DataFrame:
    """Hourly weather at ``start_utc`` + half an hour, the means of the hours that begin there.

    ``renewables``: per-unit profiles, four rows an hour. Returns time and the VARIABLES (degC, %, m/s, W/m2, %).
    """
    rng = np.random.default_rng([seed, 3])
    hours = len(start_utc)
    sun = renewables[SOLAR_PROFILE].to_numpy(float).reshape(hours, 4).mean(1)
    turn = renewables[WIND_PROFILE].to_numpy(float).reshape(hours, 4).mean(1)
    clear, elevation = cloudless_sky(start_utc + pd.Timedelta(minutes=30), latitude, longitude)
    index = clear_sky_index(sun, clear, elevation)
    cloud = 100 * np.clip((1 - np.minimum(index, 1)) / 0.75, 0, 1) ** (1 / 3.4)
    temperature = _temperature(rng, start_utc, longitude, cloud)
    mean = pd.Series(temperature).rolling(24, center=True, min_periods=1).mean().to_numpy()
    humidity = np.clip(75 - 2.2 * (temperature - mean) + 0.12 * (cloud - 50) + rng.normal(0, 3, hours), 15, 100)
    return pd.DataFrame({
        "time": start_utc, "temperature": temperature.round(2), "humidity": humidity.round(1),
        "wind_speed": wind_speed(turn, rng).round(2), "ghi": (index * clear).round(1), "cloud_cover": cloud.round(1),
    })  # fmt: skip


def cloudless_sky(instants: pd.DatetimeIndex, latitude: float, longitude: float) -> tuple[np.ndarray, np.ndarray]:
    """Irradiance of a cloudless sky (W/m2, Haurwitz) and the sun's elevation (degrees)."""
    from pvlib.clearsky import haurwitz
    from pvlib.solarposition import get_solarposition

    position = get_solarposition(instants, latitude, longitude)
    return haurwitz(position["apparent_zenith"])["ghi"].fillna(0).to_numpy(), position["apparent_elevation"].to_numpy()


def clear_sky_index(sun: np.ndarray, clear: np.ndarray, elevation: np.ndarray) -> np.ndarray:
    """0 to 1.1 from per-unit solar power; below 15 degrees of sun, where a tilted or shaded
    panel tells little of the sky, it is carried over from around."""
    ratio = np.where(elevation > LOW_SUN_DEGREE, sun / np.maximum(clear, 1), np.nan)
    scale = np.nanpercentile(np.where(elevation > 25, ratio, np.nan), 98)
    return pd.Series(np.clip(ratio / scale, 0, 1.1)).interpolate(limit_direction="both").to_numpy()


def wind_speed(power: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Wind at 10 m (m/s) from per-unit power; still air below cut-in and wind above rated speed are drawn."""
    cubed = np.clip(power, 0, 1) * (RATED_M_S**3 - CUT_IN_M_S**3) + CUT_IN_M_S**3
    hub = np.cbrt(cubed)
    hub = np.where(power <= 0.001, rng.uniform(0.5, CUT_IN_M_S, len(power)), hub)
    hub = np.where(power >= 0.98, rng.uniform(RATED_M_S, RATED_M_S + 3, len(power)), hub)
    return hub * TO_TEN_METRES


def _temperature(rng: np.random.Generator, start_utc: pd.DatetimeIndex, longitude: float, cloud: np.ndarray) -> np.ndarray:
    day = start_utc.dayofyear.to_numpy()
    hour = start_utc.hour.to_numpy() + 0.5 + longitude / 15
    season = 9.0 - 9.5 * np.cos(2 * np.pi * (day - 20) / 365.25)
    daily = (2.0 + 4.0 * (1 - cloud / 100)) * np.cos(2 * np.pi * (hour - 14.5) / 24)
    deviation, noise = np.zeros(len(day)), rng.normal(0, 0.3, len(day))
    for n in range(1, len(day)):
        deviation[n] = 0.992 * deviation[n - 1] + noise[n]
    return season + daily + deviation


def forecasts(observed: pd.DataFrame, clock: SiteCalendar, first: date, last: date, seed: int) -> pd.DataFrame:
    """Forecasts issued at 6 o'clock local of the days first..last, hourly from then to the end of the third day after.

    The error grows with the lead: temperature 0.4 + 0.025 degC an hour, irradiance 8 % + 0.4 % an hour of its value and
    wind 6 % + 0.4 % an hour, each a smooth random path. Hours that ``observed`` does not have are left out.
    """
    made = []
    for day in days_between(first, last):
        issued = pd.Timestamp(clock.midnight(day)) + pd.Timedelta(hours=ISSUED_HOUR)
        end = pd.Timestamp(clock.bounds(day + timedelta(days=HORIZON_DAYS - 1))[1])
        part = observed[(observed["time"] >= issued) & (observed["time"] < end)].reset_index(drop=True)
        made.append(_disturbed(part, np.random.default_rng([seed, day.toordinal(), 4])).assign(issued=issued))
    return pd.concat(made, ignore_index=True)[["issued", "time", *VARIABLES]]


def _disturbed(part: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    lead = np.arange(len(part))
    paths = pd.DataFrame(rng.normal(size=(len(part), 3))).ewm(span=12).mean().to_numpy() * 3.0
    return part.assign(
        temperature=(part["temperature"] + paths[:, 0] * (0.4 + 0.025 * lead)).round(2),
        ghi=np.clip(part["ghi"] * (1 + paths[:, 1] * (0.08 + 0.004 * lead)), 0, 1200).round(1),
        cloud_cover=np.clip(part["cloud_cover"] * (1 - paths[:, 1] * (0.08 + 0.004 * lead)), 0, 100).round(1),
        wind_speed=np.clip(part["wind_speed"] * (1 + paths[:, 2] * (0.06 + 0.004 * lead)), 0, 40).round(2),
    )

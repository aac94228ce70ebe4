"""A town or country of any number of made-up meters: their register, and what each uses in every interval of a day.

The days of a meter are not alike: season, weekday, the weather that all share, a mood of each household that changes from
day to day, absences, and appliances that are switched on by chance. So an estimate from like days is not flattered.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.simulation import fault_rates as rates
from grid_assets.simulation.register_standings import with_registers

METERS_PER_FEEDER, FEEDERS_PER_SUBSTATION = 200, 20
IN_FORCE = "2015-01-01T00:00:00Z"
CLASSES = ("residential", "commercial", "prosumer", "vacant", "generation")
COMMERCIAL, VACANT, GENERATION = 0.08, 0.02, 0.02
"""Shares beside the prosumers'; the rest is residential. Vacant: a garage or an empty flat, whose zeros are no fault."""
RATINGS_KW = (11.0, 14.5, 17.3, 24.0)
"""Services of homes: three phases of 16 to 35 A."""
SLOTS = 96
"""Quarter-hours of the clock that the shapes below are given for."""


@dataclass(frozen=True)
class Population:
    """The registers, and the traits of each meter that its use follows from. Arrays are (meters,)."""

    meters: pd.DataFrame
    nodes: pd.DataFrame
    customer_class: np.ndarray
    """Position in CLASSES."""
    mean_kw: np.ndarray
    shift: np.ndarray
    """Quarter-hours by which the meter's day comes later than its class's."""
    pv_kw: np.ndarray
    rating_kw: np.ndarray


def population(meters: int, seed: int) -> Population:
    """``meters`` meters on feeders of about 200 below substations of 20 feeders, from one stream of ``seed``."""
    rng = np.random.default_rng([seed, rates.STREAM_POPULATION])
    shares = np.array([0, COMMERCIAL, rates.PROSUMERS, VACANT, GENERATION])
    shares[0] = 1 - shares.sum()
    kind = rng.permutation(np.repeat(np.arange(len(CLASSES)), np.diff(np.round(np.r_[0, shares.cumsum()] * meters).astype(int))))
    mean = rng.lognormal(np.log(0.32), 0.55, meters).clip(0.05, 2.5)
    mean[kind == 1] = rng.lognormal(np.log(2.0), 0.8, (kind == 1).sum()).clip(0.3, 40)
    mean[kind == 3] = 0.0
    rating = rng.choice(RATINGS_KW, meters, p=(0.25, 0.3, 0.3, 0.15))
    rating[kind == 1] = np.ceil(rng.uniform(5, 9, (kind == 1).sum()) * mean[kind == 1])
    pv = np.where(kind == 2, rng.uniform(3, 9, meters), 0.0)
    pv[kind == 4] = rng.uniform(10, 100, (kind == 4).sum())
    rating[kind == 4] = np.ceil(1.1 * pv[kind == 4])
    rating = np.maximum(rating, np.ceil(1.1 * pv))
    feeder = np.arange(meters) // METERS_PER_FEEDER
    register = pd.DataFrame({
        "meter_id": [f"M{number:08d}" for number in rng.permutation(meters)], "kind": np.where(kind == 4, "generation", "load"),
        "node_id": [f"feeder-{number:05d}" for number in feeder], "bus_id": "", "customer_class": np.array(CLASSES)[kind],
        "rating_kw": rating, "power_factor": "", "net_metered": np.where(kind == 2, "true", "false"), "valid_from_utc": IN_FORCE,
        "valid_to_utc": "",
    })  # fmt: skip
    never = register.loc[np.isin(kind, (3, 4)), "meter_id"]
    return Population(
        with_registers(register, seed, set(never)), _nodes(int(feeder.max()) + 1), kind, mean, rng.integers(-6, 7, meters), pv, rating
    )


def _nodes(feeders: int) -> pd.DataFrame:
    above = np.arange(feeders) // FEEDERS_PER_SUBSTATION
    rows = [("system", "system", "", "Synthetic system")]
    rows += [(f"substation-{number:03d}", "substation", "system", f"Substation {number}") for number in range(above.max() + 1)]
    rows += [(f"feeder-{number:05d}", "feeder", f"substation-{above[number]:03d}", f"Feeder {number}") for number in range(feeders)]
    return pd.DataFrame(rows, columns=["node_id", "level", "parent_id", "title"]).assign(import_limit_kw="", export_limit_kw="")


def clean_day(made: Population, day: date, start_utc: pd.DatetimeIndex, time_zone: str, seed: int) -> np.ndarray:
    """kWh (intervals, meters) as really used or, of generation meters, generated; of prosumers use less generation.

    From ``default_rng([seed, day, STREAM_ENERGY])``. Never more than 0.95 of the rating.
    """
    rng = np.random.default_rng([seed, day.toordinal(), rates.STREAM_ENERGY])
    local = start_utc.tz_convert(time_zone)
    slot = (local.hour * 4 + local.minute // 15).to_numpy()
    season = np.cos((day.timetuple().tm_yday - 15) / 365 * 2 * np.pi)
    common = 1 + 0.15 * season + 0.05 * rng.normal()
    kw = np.empty((len(slot), len(made.mean_kw)))
    for number, name in enumerate(CLASSES):
        at = np.flatnonzero(made.customer_class == number)
        level = made.mean_kw[at] * common * rng.lognormal(0, 0.12 if name == "commercial" else 0.25, len(at))
        if name in ("residential", "prosumer"):
            level[rng.random(len(at)) < 0.04] *= 0.15  # away
        shape = _shapes(name, day.weekday() >= 5)[(slot[:, None] - made.shift[at]) % SLOTS]
        spread = rng.standard_gamma(30 if name == "commercial" else 6, (len(slot), len(at)))
        kw[:, at] = level * shape * spread / (30 if name == "commercial" else 6)
    _appliances(rng, kw, made)
    # 4 and 2: the generation of a net-metered home is taken off, that of a plant is what its meter counts
    sun = _sun(rng, start_utc, season)
    for number, sign in ((2, -1.0), (4, 1.0)):
        at = np.flatnonzero(made.customer_class == number)
        kw[:, at] += sign * made.pv_kw[at] * sun[:, None] * rng.normal(1, 0.06, (len(slot), len(at))).clip(0.5, 1.3) * (sun > 0)[:, None]
    hours = (start_utc[1] - start_utc[0]).total_seconds() / 3600
    most = 0.95 * made.rating_kw
    return np.round(np.clip(kw, -most, most) * hours, 5)


def _shapes(name: str, weekend: bool) -> np.ndarray:
    """Mean power over the day's quarter-hours, 1 on average."""
    hour = np.arange(SLOTS) / 4
    if name == "commercial":
        open_hours = 1 / (1 + np.exp(-(hour - 7.5) * 2)) / (1 + np.exp((hour - 18) * 2))
        shape = 0.35 + (0.25 if weekend else 1.6) * open_hours
    elif name in ("residential", "prosumer"):
        morning, evening = np.exp(-(((hour - (9.5 if weekend else 7.5)) / 1.8) ** 2)), np.exp(-(((hour - 19.5) / 2.6) ** 2))
        shape = 0.45 + 0.9 * morning + (0.5 if weekend else 0.2) * np.exp(-(((hour - 13) / 2.5) ** 2)) + 1.5 * evening
    else:
        return np.ones(SLOTS) if name == "vacant" else np.zeros(SLOTS)
    return shape / shape.mean()


def _appliances(rng: np.random.Generator, kw: np.ndarray, made: Population) -> None:
    """Kettles, washing machines, ovens: about three a day in a home, one in ten days in a vacant flat, 1 to 4 intervals each."""
    homes, vacant = np.flatnonzero(np.isin(made.customer_class, (0, 2))), np.flatnonzero(made.customer_class == 3)
    meter = np.concatenate([rng.choice(homes, rng.poisson(3 * len(homes))), rng.choice(vacant, rng.poisson(0.1 * len(vacant)))])
    begin = np.clip(rng.normal(0.62, 0.22, len(meter)) * len(kw), 0, len(kw) - 1).astype(int)
    power, length = rng.lognormal(np.log(1.0), 0.5, len(meter)).clip(0.1, 3.5), rng.integers(1, 5, len(meter))
    for step in range(4):
        on = (length > step) & (begin + step < len(kw))
        np.add.at(kw, (begin[on] + step, meter[on]), power[on])


def _sun(rng: np.random.Generator, start_utc: pd.DatetimeIndex, season: float) -> np.ndarray:
    """What one kW of PV gives under the clouds of the day, from an hour after sunrise-like time to before sunset: 0 at night."""
    hour = (start_utc.hour + start_utc.minute / 60).to_numpy()
    half = 6 - 1.8 * season
    height = np.clip(np.cos((hour - 11.4) / half * np.pi / 2), 0, None) * (np.abs(hour - 11.4) < half)
    clouds = np.convolve(rng.normal(size=len(hour) + 7), np.full(8, 1 / 8), "valid")
    return height * (0.5 - 0.28 * season) * np.clip(rng.uniform(0.3, 1.0) + 0.3 * clouds, 0.08, 1)

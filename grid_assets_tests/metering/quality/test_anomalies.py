"""Unusual consumption: planted theft, new loads and flat meters against a population that varies as real ones do."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from grid_assets.metering.quality import anomalies
from grid_assets.metering.quality.day_matrices import QUALITIES, DayMatrices
from grid_assets.metering.tables import METER_DAYS, USAGE_ANOMALIES, USAGE_SHAPES

METERS, DAYS, SLOTS = 2000, 29, 48
FIRST = date(2026, 2, 2)
THRESHOLD = 6.0


class Population:
    """Households and shops: a weekly rhythm, a cold spell for all, days away, and their own noise, correlated from day to day."""

    def __init__(self, seed: int = 1, meters: int = METERS, days: int = DAYS):
        rng = np.random.default_rng(seed)
        hours = np.arange(SLOTS) / 2
        shop = rng.random(meters) < 0.2
        base = rng.lognormal(-1.2, 0.6, meters)
        evening = np.exp(-(((hours[None, :] - rng.normal(19, 1, meters)[:, None]) / 2.5) ** 2))
        opening = ((hours >= 8) & (hours < 18))[None, :] * np.ones((meters, 1))
        shape = 0.4 + np.where(shop[:, None], 2.5 * opening, 2.5 * evening)
        level = np.zeros((meters, days))
        for day in range(days):
            fresh = rng.normal(0, 1, meters)
            level[:, day] = fresh if day == 0 else 0.3 * level[:, day - 1] + np.sqrt(1 - 0.09) * fresh
        weekend = np.array([(FIRST + timedelta(days=d)).weekday() >= 5 for d in range(days)])
        factor = np.exp(0.18 * level) * np.where(shop[:, None] & weekend[None, :], 0.5, 1.0)
        factor *= np.where(np.arange(days) >= days - 2, 1.35, 1.0)[None, :]  # it gets cold: everybody uses more
        noise = rng.lognormal(0, 0.35, (days, meters, SLOTS))
        self.energy = base[None, :, None] * shape[None] * factor.T[:, :, None] * noise * 0.5
        self.ids = np.array([f"m{n:05d}" for n in range(meters)])
        self.register = pd.DataFrame(
            {"meter_id": self.ids, "kind": "load", "node_id": "f1", "customer_class": np.where(shop, "commercial", "residential")}
        )
        self.rng, self.days = rng, days

    def shapes(self) -> list[pa.Table]:
        made = []
        for day in range(self.days):
            energy = self.energy[day]
            quality = np.full(energy.shape, QUALITIES.index("measured"), np.uint8)
            shard = DayMatrices(self.register, energy, quality, np.ones(energy.shape, bool), energy == 0)
            when = FIRST + timedelta(days=day)
            local = pd.date_range(when, periods=SLOTS, freq="30min", tz="Europe/Berlin")
            made.append(USAGE_SHAPES.conform(anomalies.usage_shapes(shard, when, local, 0.5)))
        return made

    def meter_days(self) -> pd.DataFrame:
        energy = self.energy[-1].sum(axis=1)
        frame = pd.DataFrame(dict.fromkeys(METER_DAYS.columns), index=range(len(self.ids)))
        return frame.assign(meter_id=self.ids, day=FIRST + timedelta(days=self.days - 1), kind="load", node_id="f1", energy_kwh=energy)

    def anomalies(self, listed: int = 50, tolerance: float = 2.0, meter_days: pd.DataFrame | None = None) -> pd.DataFrame:
        *past, today = self.shapes()
        found = anomalies.usage_anomalies(today, past, self.meter_days() if meter_days is None else meter_days, tolerance, listed)
        USAGE_ANOMALIES.conform(found)
        return found


@pytest.fixture(scope="module")
def planted():
    """30 thefts of 60 % for a week, 10 for two days, 30 new loads for a week (day or night), 10 flat meters; of 2,000."""
    world = Population()
    chosen = world.rng.choice(METERS, 80, replace=False)
    theft, fresh_theft, load, flat = chosen[:30], chosen[30:40], chosen[40:70], chosen[70:]
    world.energy[-7:, theft] *= 0.4
    world.energy[-2:, fresh_theft] *= 0.4
    for n, meter in enumerate(load):
        extra = 1.2 * world.energy[:-7, meter].mean()
        slots = slice(0, 12) if n % 2 else slice(20, 40)  # at night, or in the day
        world.energy[-7:, meter, slots] += extra * (SLOTS / (slots.stop - slots.start))
    world.energy[-3:, flat] = world.energy[-3:, flat].mean(axis=2, keepdims=True) * world.rng.normal(1, 0.01, (3, 10, SLOTS))
    kinds = dict.fromkeys(world.ids[theft], "theft") | dict.fromkeys(world.ids[fresh_theft], "fresh theft")
    kinds |= dict.fromkeys(world.ids[load], "load") | dict.fromkeys(world.ids[flat], "flat")
    return world.anomalies(listed=200), kinds


def test_planted_anomalies_are_found_and_few_others(planted):
    found, kinds = planted
    strong = found[found["evidence"] >= THRESHOLD]
    right = strong["meter_id"].isin(kinds)
    recall = {kind: np.mean([one in set(strong["meter_id"]) for one, of in kinds.items() if of == kind]) for kind in set(kinds.values())}
    print(f"precision {right.mean():.3f}, false {(~right).sum()} of {METERS - len(kinds)}, recall {recall}")
    assert right.mean() >= 0.9
    assert recall["theft"] >= 0.85
    assert recall["load"] >= 0.9
    assert recall["flat"] == 1.0


def test_patterns_are_named_for_what_they_are(planted):
    found, kinds = planted
    strong = found[found["evidence"] >= THRESHOLD]
    pattern = dict(zip(strong["meter_id"], strong["pattern"], strict=True))
    of = {kind: {pattern[one] for one, theirs in kinds.items() if theirs == kind and one in pattern} for kind in set(kinds.values())}
    assert of["theft"] == {"low_usage"}
    assert of["flat"] == {"flat"}
    assert of["load"] <= {"high_usage", "night_usage", "flat"}
    assert {"high_usage", "night_usage"} <= of["load"]


def test_the_list_is_ranked_cut_and_told_in_words(planted):
    found, kinds = planted
    assert found["rank"].tolist() == list(range(1, 201))
    assert found["evidence"].is_monotonic_decreasing
    assert found["meter_id"].is_unique
    theft = found[found["meter_id"].map(kinds) == "theft"].iloc[0]
    assert "less than usual for" in theft["explanation"]
    assert "robust standard deviations" in theft["explanation"]
    assert theft["usual_kwh"] > 1.5 * theft["energy_kwh"]


def test_a_cold_spell_makes_nobody_unusual():
    found = Population(seed=3, meters=800).anomalies()
    assert (found["evidence"] >= THRESHOLD).sum() <= 2


def test_a_meter_without_enough_history_or_readings_is_not_judged():
    world = Population(seed=4, meters=60, days=7)
    world.energy[-1, :5] *= 20
    assert world.anomalies().empty  # six earlier days
    world = Population(seed=4, meters=60, days=9)
    world.energy[-1, :5] *= 20
    assert set(world.anomalies().query("evidence >= 6")["meter_id"]) == set(world.ids[:5])
    *past, today = world.shapes()
    at = today.schema.get_field_index("valid_pct")
    thin = today.set_column(at, today.schema.field(at), pa.array(np.where(np.arange(60) < 5, 79.0, 100.0)))
    found = anomalies.usage_anomalies(thin, past, world.meter_days(), 2.0, 50)
    assert not set(found["meter_id"]) & set(world.ids[:5])


def test_the_order_and_set_of_meters_may_change_from_day_to_day():
    world = Population(seed=5, meters=100)
    *past, today = world.shapes()
    plain = anomalies.usage_anomalies(today, past, world.meter_days(), 2.0, 20)
    mixed = [one.take(np.random.default_rng(n).permutation(one.num_rows)) for n, one in enumerate(past)]
    assert anomalies.usage_anomalies(today, mixed, world.meter_days(), 2.0, 20).equals(plain)
    fewer = [one.slice(0, 50) for one in past]
    assert set(anomalies.usage_anomalies(today, fewer, world.meter_days(), 2.0, 20)["meter_id"]) <= set(world.ids[:50])


def test_intervals_that_do_not_add_up_to_the_register_are_told():
    world = Population(seed=6, meters=50)
    days = world.meter_days()
    days["register_kwh"] = days["energy_kwh"] * 1.01
    days.loc[7, "register_kwh"] = days.loc[7, "energy_kwh"] * 1.25
    (row,) = world.anomalies(meter_days=days).query("pattern == 'register_mismatch'").itertuples()
    assert row.meter_id == world.ids[7]
    assert row.evidence == pytest.approx(3 * 20 / 2)
    assert "the register says" in row.explanation


def test_prosumers_and_empty_houses_have_finite_evidence():
    world = Population(seed=7, meters=100)
    world.energy[:, 0] = 0.0
    world.energy[:, 1] -= 2 * world.energy[:, 1].mean()  # feeds in more than it takes
    world.energy[-1, 2] = 0.0
    found = world.anomalies()
    assert np.isfinite(found["evidence"]).all()
    assert "m00000" not in set(found["meter_id"])
    assert found.set_index("meter_id").loc["m00002", "pattern"] == "low_usage"


def test_no_meters_no_anomalies():
    empty = USAGE_SHAPES.empty()
    assert anomalies.usage_anomalies(empty, [empty] * 10, METER_DAYS.empty().to_pandas(), 2.0, 50).empty

"""A day's alerts from its readings: outages, silences, low shares; over midnight; again; and as a gateway would see them live."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from grid_assets.foundation.site_sections import AlertsSection
from grid_assets.metering.quality import alerts
from grid_assets.metering.quality.alert_days import AlertInputs, DaySignals, day_alerts
from grid_assets.metering.quality.alerts import Alert, Condition
from grid_assets.metering.quality.day_matrices import QUALITIES, DayMatrices
from grid_assets.metering.tables import ALERTS

RULES = AlertsSection()  # type: ignore[call-arg]
NODES = pd.DataFrame(
    [("system", "system", None), ("s1", "substation", "system"), ("f1", "feeder", "s1"), ("f2", "feeder", "s1"), ("s2", "substation", "system")],
    columns=["node_id", "level", "parent_id"],
)  # fmt: skip
PER_NODE = 10
METERS = pd.DataFrame(
    [(f"{node}-{n}", "load", node) for node in ("f1", "f2", "s2") for n in range(PER_NODE)] + [("pv", "generation", "f1"), ("b", "boundary", "f1")],
    columns=["meter_id", "kind", "node_id"],
)  # fmt: skip
NONE_OPEN = ALERTS.empty().to_pandas()
MEASURED, MISSING = QUALITIES.index("measured"), QUALITIES.index("missing")


def starts(day: int) -> pd.DatetimeIndex:
    return pd.date_range("2026-03-01", periods=96, freq="15min", tz="UTC").as_unit("us") + pd.Timedelta(days=day)


def at(day: int, hour: float) -> pd.Timestamp:
    return pd.Timestamp("2026-03-01", tz="UTC") + pd.Timedelta(days=day, hours=hour)


class World:
    """Days on which everything is measured, except what is silenced or switched off."""

    def __init__(self, days: int):
        self.energy = np.ones((len(METERS), 96 * days))
        self.arrived = np.ones(self.energy.shape, bool)
        self.rows = {meter: n for n, meter in enumerate(METERS["meter_id"])}

    def _at(self, meters, begin: float, end: float):
        return np.ix_([self.rows[one] for one in meters], range(round(begin * 4), round(end * 4)))

    def silence(self, meters, begin: float, end: float):
        """Hours since the first day's midnight."""
        self.arrived[self._at(meters, begin, end)] = False

    def switch_off(self, meters, begin: float, end: float):
        self.energy[self._at(meters, begin, end)] = 0

    def signals(self, day: int, before: DaySignals | None = None) -> DaySignals:
        made, columns = DaySignals(NODES, starts(day), before), slice(96 * day, 96 * (day + 1))
        arrived, energy = self.arrived[:, columns], self.energy[:, columns]
        for rows in (slice(0, 13), slice(13, None)):  # two shards
            quality = np.where(arrived, MEASURED, MISSING).astype(np.uint8)[rows]
            zero = (arrived & (energy == 0))[rows]
            meters = METERS.iloc[rows].reset_index(drop=True)
            made.add(DayMatrices(meters, np.where(arrived, energy, np.nan)[rows], quality, arrived[rows], zero))
        return made

    def alerts(self, days: int, **more) -> list[pd.DataFrame]:
        """Each day's alerts, every day from the one before."""
        found, left_open, before = [], NONE_OPEN, None
        for day in range(days):
            today = self.signals(day, before)
            frame = day_alerts(AlertInputs(today, before, left_open, **more), RULES)
            ALERTS.conform(frame)
            found.append(frame)
            left_open, before = frame[frame["closed_utc"].isna()], today
        return found


def told(frame: pd.DataFrame, kind: str) -> list[tuple]:
    rows = frame[frame["kind"] == kind]
    return [(one.subject, one.opened_utc, None if pd.isna(one.closed_utc) else one.closed_utc) for one in rows.itertuples()]


FEEDER = [f"f1-{n}" for n in range(9)]


def test_a_clean_day_has_no_alerts():
    assert all(frame.empty for frame in World(2).alerts(2))


@pytest.mark.parametrize("way", ["silence", "switch_off"])
def test_an_outage_of_a_feeder_is_told_once_where_it_is(way):
    world = World(1)
    getattr(world, way)(FEEDER, 10, 12)
    (frame,) = world.alerts(1)
    assert told(frame, alerts.AREA_OUTAGE) == [("f1", at(0, 10.25), at(0, 12.25))]
    (row,) = frame[frame["kind"] == alerts.AREA_OUTAGE].itertuples()
    assert (row.severity, row.worst) == ("critical", 90)
    assert "90 % of 10 load meters" in row.evidence
    low = told(frame, alerts.LOW_VALID_SHARE)
    assert {one[0] for one in low} == ({"f1", "s1", "system"} if way == "silence" else set())


def test_a_known_outage_is_named_in_the_evidence():
    world = World(1)
    world.switch_off(FEEDER, 10, 12)
    events = pd.DataFrame({"outage_id": ["o7"], "meter_id": [None], "node_id": ["f1"], "start_utc": [at(0, 10)], "end_utc": [at(0, 12)]})
    (frame,) = world.alerts(1, outages=events)
    assert "known outage o7" in frame["evidence"].iloc[0]


def test_an_outage_over_midnight_is_one_alert_and_closes_the_next_day():
    world = World(3)
    world.silence(FEEDER, 23.75, 26)
    first, second, third = world.alerts(3)
    assert told(first, alerts.AREA_OUTAGE) == [("f1", at(1, 0), None)]  # it had held for a quarter of an hour at midnight
    assert told(second, alerts.AREA_OUTAGE) == [("f1", at(1, 0), at(1, 2.25))]
    assert first["alert_id"].isin(second["alert_id"]).all()
    assert third.empty


def test_a_condition_that_began_before_midnight_counts_from_then():
    rules = AlertsSection(valid_share_minutes=60)  # type: ignore[call-arg]
    world = World(2)
    world.silence(["s2-0", "s2-1", "s2-2"], 23.5, 25)
    before = world.signals(0)
    first = day_alerts(AlertInputs(before, None, NONE_OPEN), rules)
    second = day_alerts(AlertInputs(world.signals(1, before), before, NONE_OPEN), rules)
    assert first.empty
    assert told(second, alerts.LOW_VALID_SHARE) == [("s2", at(1, 0.5), at(1, 1.25))]


def test_a_day_without_any_file_is_one_outage_of_the_system_not_a_flood():
    world = World(3)
    world.silence(METERS["meter_id"], 24, 72)
    _, second, third = world.alerts(3)
    assert told(second, alerts.AREA_OUTAGE) == [("system", at(1, 0.25), None)]
    assert told(third, alerts.AREA_OUTAGE) == [("system", at(1, 0.25), None)]
    assert not told(second, alerts.DEVICE_OFFLINE)
    assert not told(third, alerts.DEVICE_OFFLINE)


def test_a_silent_meter_is_told_after_half_a_day_until_it_speaks_again():
    world = World(4)
    world.silence(["s2-4"], 20, 60)
    world.silence(["pv"], 30, 41.75)  # a quarter of an hour less than half a day
    frames = world.alerts(4)
    assert [told(one, alerts.DEVICE_OFFLINE) for one in frames] == [
        [], [("s2-4", at(1, 8), None)], [("s2-4", at(1, 8), at(2, 12.25))], []
    ]  # fmt: skip
    assert frames[1]["worst"].tolist() == [28 * 3600]
    assert frames[2]["worst"].tolist() == [40 * 3600]
    assert "40.0 h" in frames[2]["evidence"].iloc[0]


def test_the_same_day_again_gives_the_same_and_a_lost_alert_of_yesterday_is_found_again():
    world = World(2)
    world.silence(FEEDER, 20, 30)
    before = world.signals(0)
    today, left = world.signals(1, before), world.alerts(1)[0]
    left = left[left["closed_utc"].isna()]
    inputs = AlertInputs(today, before, left)
    once = day_alerts(inputs, RULES)
    assert once.equals(day_alerts(inputs, RULES))
    assert day_alerts(AlertInputs(today, before, NONE_OPEN), RULES)["alert_id"].tolist() == once["alert_id"].tolist()


def reports(device: str, hours) -> pd.DataFrame:
    return pd.DataFrame({"device_id": device, "read_utc": [at(0, hour) for hour in hours]})


def test_devices_are_judged_by_their_own_time():
    steady = np.arange(0, 48, 1 / 60)
    seen = pd.concat([reports("d1", steady[(steady < 23.5) | (steady > 25)]), reports("d2", steady)], ignore_index=True)
    world, found, left, before = World(2), [], NONE_OPEN, None
    for day in range(2):
        today = world.signals(day, before)
        own = seen[(seen["read_utc"] >= at(max(day - 1, 0), 0)) & (seen["read_utc"] < at(day + 1, 0))]
        found.append(day_alerts(AlertInputs(today, before, left, own, {"d1": 60.0, "d2": 60.0}), RULES))
        left, before = found[-1][found[-1]["closed_utc"].isna()], today
    last = at(0, 23.5) - pd.Timedelta(minutes=1)
    assert told(found[0], alerts.DEVICE_OFFLINE) == [("d1", last + pd.Timedelta(minutes=5), None)]
    (row,) = found[1].itertuples()
    assert (row.alert_id, row.severity) == (found[0]["alert_id"].iloc[0], "warning")
    assert row.closed_utc == at(1, 1) + pd.Timedelta(minutes=16)


def usage(meters: list[str], evidence: float = 9.0) -> pd.DataFrame:
    return pd.DataFrame({"meter_id": meters, "evidence": evidence, "explanation": [f"{one} used much" for one in meters]})


def test_unusual_consumption_lasts_as_long_as_its_days():
    world, left, found = World(3), NONE_OPEN, []
    for day, listed in enumerate((["a", "b"], ["b"], [])):
        frame = day_alerts(AlertInputs(world.signals(day), None, left, anomalies=usage(listed)), RULES)
        found.append(told(frame, alerts.UNUSUAL_CONSUMPTION))
        left = frame[frame["closed_utc"].isna()]
    assert found == [
        [("a", at(0, 0), None), ("b", at(0, 0), None)],
        [("a", at(0, 0), at(1, 0)), ("b", at(0, 0), None)],
        [("b", at(0, 0), at(2, 0))],
    ]


def test_a_cut_list_closes_nothing():
    world = World(2)
    first = day_alerts(AlertInputs(world.signals(0), None, NONE_OPEN, anomalies=usage(["a"])), RULES)
    second = day_alerts(AlertInputs(world.signals(1), None, first, anomalies=usage(["b"]), anomalies_cut=True), RULES)
    assert [one[2] for one in told(second, alerts.UNUSUAL_CONSUMPTION)] == [None, None]


def test_a_gateway_that_is_told_minute_by_minute_has_the_same_alerts():
    """The live way: running counters of the interval under way, one step a minute, the same watchers; no table, no Dagster."""
    rng, world = np.random.default_rng(7), World(1)
    world.silence(FEEDER, 7, 9.5)
    world.switch_off([f"s2-{n}" for n in range(8)], 15, 16.25)
    for meter in METERS["meter_id"]:
        begin = rng.uniform(0, 20)
        world.silence([meter], begin, begin + rng.choice([0.25, 0.5, 3, 13]) if begin < 10 else begin + 0.5)
    today = world.signals(0)
    batch = day_alerts(AlertInputs(today, None, NONE_OPEN), RULES)
    begin = starts(0)[0].to_pydatetime()
    share, outage = alerts.valid_share_watcher(RULES, begin), alerts.outage_watcher(RULES, begin)
    silent = alerts.meter_watcher(RULES, begin, timedelta(minutes=15))
    pattern, ids = alerts.OutagePattern(today.tree.parent, RULES), NODES["node_id"].tolist()
    valid, dark, went, meters = today.valid_pct, today.dark, today.went_dark, today.meters
    live: list[Alert] = []
    for slot in range(96):
        shown = pattern.step(dark[:, slot], went[:, slot], meters)
        for minute in range(1, 16):
            until = begin + timedelta(minutes=15 * slot + minute)
            for n, node in enumerate(ids):
                live += filter(None, [
                    share.observe(node, alerts.valid_share_condition(valid[n, slot], meters[n], RULES), until, valid[n, slot]),
                    outage.observe(node, Condition.HOLDS if shown[n] else Condition.OVER, until, 100 * dark[n, slot] / max(meters[n], 1)),
                ])  # fmt: skip
            for meter, row in world.rows.items():
                silent.observe(meter, Condition.OVER if world.arrived[row, slot] else Condition.HOLDS, until)
    assert len(live) > 6  # they came as they happened, opened and closed
    told_live = {(one.kind, one.subject, one.opened_utc, one.closed_utc) for one in [*share.alerts(), *outage.alerts(), *silent.alerts()]}
    told_batch = {
        (one.kind, one.subject, one.opened_utc, None if pd.isna(one.closed_utc) else one.closed_utc) for one in batch.itertuples()
    }
    assert told_live == told_batch
    assert {one[0] for one in told_batch} == {alerts.LOW_VALID_SHARE, alerts.AREA_OUTAGE, alerts.DEVICE_OFFLINE}

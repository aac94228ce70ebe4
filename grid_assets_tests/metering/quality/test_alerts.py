"""The rules of alerts by themselves: delays, deadband, silence, outage patterns; fed coarsely or minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid_assets.foundation.site_sections import AlertsSection
from grid_assets.metering.quality import alerts
from grid_assets.metering.quality.alerts import Condition, Hysteresis, Watcher

BEGIN = datetime(2026, 3, 3, tzinfo=UTC)
RULES = AlertsSection()  # type: ignore[call-arg]


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def fed(conditions: str, step: int, slices: int = 1, opens: float = 15, closes: float = 15):
    """The alerts of a sequence of h (holds), b (between), o (over), each ``step`` minutes long and told in ``slices`` parts."""
    words = {"h": Condition.HOLDS, "b": Condition.BETWEEN, "o": Condition.OVER}
    watcher = Watcher("kind", Hysteresis(minutes(opens), minutes(closes)), BEGIN)
    for n, letter in enumerate(conditions):
        for part in range(1, slices + 1):
            watcher.observe("one", words[letter], BEGIN + minutes(step * n + step * part / slices), float(n))
    return [
        ((one.opened_utc - BEGIN) / minutes(1), one.closed_utc and (one.closed_utc - BEGIN) / minutes(1), one.worst)
        for one in watcher.alerts()
    ]


def test_a_condition_must_hold_and_be_over_for_its_time():
    assert fed("ohhoo", 10) == [(25, 45, 2)]
    assert fed("ohoho", 10) == []  # never fifteen minutes on end
    assert fed("hhohoo", 10) == [(15, 55, 3)]  # ten minutes of rest do not close it
    assert fed("hhbbbb", 10) == [(15, None, 1)]  # between the two limits it stays as it is
    assert fed("bhhoo", 15) == [(30, 60, 2)]
    assert fed("hhhho", 15, opens=60, closes=0) == [(60, 60, 3)]


@given(st.text("hbo", max_size=40), st.sampled_from([1, 3, 5, 15]), st.integers(0, 45), st.integers(0, 45))
@settings(max_examples=150, deadline=None)
def test_telling_minute_by_minute_gives_the_same_alerts(conditions, slices, opens, closes):
    assert fed(conditions, 15, slices, opens, closes) == fed(conditions, 15, 1, opens, closes)


@given(st.text("hbo", max_size=40), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_going_on_from_open_alerts_gives_the_same_as_one_run_where_no_delay_spans_the_break(conditions, cut):
    rule, words = Hysteresis(minutes(0), minutes(0)), {"h": Condition.HOLDS, "b": Condition.BETWEEN, "o": Condition.OVER}

    def run(watcher, first, last):
        for n, letter in enumerate(conditions[first:last], first):
            watcher.observe("one", words[letter], BEGIN + minutes(15 * (n + 1)))
        return watcher.alerts()

    cut = min(cut, len(conditions))
    whole = run(Watcher("kind", rule, BEGIN), 0, len(conditions))
    early = run(Watcher("kind", rule, BEGIN), 0, cut)
    later = Watcher("kind", rule, BEGIN + minutes(15 * cut))
    later.carry_over(one for one in early if one.closed_utc is None)
    assert [one for one in early if one.closed_utc] + run(later, cut, len(conditions)) == whole


def test_time_does_not_run_backwards():
    watcher = Watcher("kind", Hysteresis(minutes(0), minutes(0)), BEGIN)
    watcher.observe("one", Condition.OVER, BEGIN + minutes(10))
    with pytest.raises(ValueError, match="kind of one"):
        watcher.observe("one", Condition.OVER, BEGIN + minutes(5))


def test_the_valid_share_has_a_deadband():
    told = [alerts.valid_share_condition(value, 1000, RULES) for value in (89.9, 90.0, 91.9, 92.0, 100)]
    assert told == [Condition.HOLDS, Condition.BETWEEN, Condition.BETWEEN, Condition.OVER, Condition.OVER]
    strict = AlertsSection(minimum_valid_pct=99.5)  # type: ignore[call-arg]
    assert alerts.valid_share_condition(100.0, 1000, strict) is Condition.OVER  # the margin never asks for more than all


def silent_device(reports: list[float], end: float, every: float | None = None):
    watcher = alerts.device_watcher(RULES, BEGIN, {"d": 60.0})
    ticks = np.arange(every, end, every).tolist() if every else []
    for at, is_report in sorted([*((one, True) for one in reports), *((one, False) for one in ticks)]):
        if is_report:
            watcher.seen("d", BEGIN + minutes(at))
        else:
            watcher.tick(BEGIN + minutes(at))
    watcher.tick(BEGIN + minutes(end))
    return [
        ((one.opened_utc - BEGIN) / minutes(1), one.closed_utc and (one.closed_utc - BEGIN) / minutes(1), one.worst)
        for one in watcher.alerts()
    ]


def test_a_device_is_offline_five_minutes_after_its_last_report():
    steady = [float(n) for n in range(60)]
    assert silent_device(steady, 60) == []
    assert silent_device([one for one in steady if not 20 < one < 30], 60) == [(25, 45, 600)]
    assert silent_device(steady[:30], 60) == [(34, None, 31 * 60)]
    assert silent_device([], 60) == [(5, None, 3600)]


@given(st.lists(st.integers(0, 600), max_size=60, unique=True), st.sampled_from([0.5, 1.0, 7.0]))
@settings(max_examples=100, deadline=None)
def test_how_often_time_is_told_changes_no_silence(reports, every):
    assert silent_device(sorted(map(float, reports)), 600, every) == silent_device(sorted(map(float, reports)), 600)


def test_slow_devices_are_given_their_own_time():
    watcher = alerts.device_watcher(RULES, BEGIN, {"slow": 900.0})
    for n in range(1, 10):
        assert watcher.seen("slow", BEGIN + timedelta(seconds=900 * n + (n % 3) * 60)) is None
    watcher.tick(BEGIN + timedelta(seconds=900 * 12))
    assert len(watcher.alerts()) == 1


PARENT = np.array([-1, 0, 0, 1, 1])  # a system, two substations, two feeders below the first
METERS = np.array([40, 20, 20, 10, 10])


def told(steps: list[tuple[list[int], list[int]]]) -> list[list[int]]:
    pattern = alerts.OutagePattern(PARENT, RULES)
    return [np.flatnonzero(pattern.step(np.array(dark), np.array(went), METERS)).tolist() for dark, went in steps]


def test_an_outage_is_told_where_it_is():
    none, feeder = [0] * 5, [8, 8, 0, 8, 0]
    assert told([(none, none), (feeder, feeder), (feeder, none), (none, none)]) == [[], [3], [3], []]
    substation = [19, 19, 0, 9, 10]
    assert told([(none, none), (substation, substation)]) == [[], [1]]  # both feeders: the substation, not each of them
    everything = [39, 19, 20, 9, 10]
    assert told([(none, none), (everything, everything)]) == [[], [0]]


def test_meters_that_were_dark_one_by_one_are_no_outage():
    grown = [([n, n, 0, n, 0], [1, 1, 0, 1, 0]) for n in range(1, 9)]
    assert told(grown) == [[]] * 8
    assert told([([8, 8, 0, 8, 0], [0] * 5)]) == [[]]  # dark since ever
    in_two = [([0] * 5, [0] * 5), ([4, 4, 0, 4, 0], [4, 4, 0, 4, 0]), ([8, 8, 0, 8, 0], [4, 4, 0, 4, 0])]
    assert told(in_two)[-1] == [3]  # half in one interval, half in the next


def test_few_meters_are_no_area():
    pattern = alerts.OutagePattern(np.array([-1]), RULES)
    assert not pattern.step(np.array([4]), np.array([4]), np.array([4])).any()


def test_a_well_part_two_levels_below_keeps_the_outage_with_its_parts():
    parent, meters = np.array([-1, 0, 1, 1]), np.array([20, 20, 15, 5])
    pattern = alerts.OutagePattern(parent, RULES)
    dark = np.array([15, 15, 15, 0])
    assert np.flatnonzero(pattern.step(dark, dark, meters)).tolist() == [2]


def test_an_outage_that_was_open_goes_on_though_nothing_went_dark_today():
    pattern = alerts.OutagePattern(PARENT, RULES)
    pattern.carry_over(np.array([0]))
    dark = np.array([39, 19, 20, 9, 10])
    assert np.flatnonzero(pattern.step(dark, np.zeros(5), METERS)).tolist() == [0]
    assert not pattern.step(np.zeros(5), np.zeros(5), METERS).any()
    assert not pattern.step(dark, np.zeros(5), METERS).any()


def test_one_or_two_meters_of_a_small_node_are_no_alert():
    told = [alerts.valid_share_condition(100.0 * valid / 11, 11, RULES) for valid in (11, 10, 9, 8)]
    assert told == [Condition.OVER, Condition.BETWEEN, Condition.BETWEEN, Condition.HOLDS]
    assert alerts.valid_share_condition(0.0, 2, RULES) is Condition.HOLDS  # all there are

"""When an alert opens and closes: pure rules that a day's batch and a live gateway share. No Dagster, no clock, no tables.

A gateway keeps one Watcher a kind, tells it what it sees as time goes on (``observe``, ``seen``, ``tick``), and stores the alerts
that come back. Telling it minute by minute or interval by interval gives the same alerts. Source of the two-sided delay: on- and
off-delay with deadband, ISA-18.2 (2016), alarm design.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

import numpy as np

from grid_assets.foundation.site_sections import AlertsSection

LOW_VALID_SHARE, DEVICE_OFFLINE, AREA_OUTAGE, UNUSUAL_CONSUMPTION = (
    "low_valid_share",
    "device_offline",
    "area_outage",
    "unusual_consumption",
)
KINDS = (LOW_VALID_SHARE, DEVICE_OFFLINE, AREA_OUTAGE, UNUSUAL_CONSUMPTION)
MISSED_REPORTS = 1.5
"""A device is not late before one and a half of its reporting times: reports jitter."""


class Condition(Enum):
    HOLDS = "holds"
    BETWEEN = "between"
    """Not bad enough to open an alert, not good enough to close one."""
    OVER = "over"


@dataclass(frozen=True)
class Hysteresis:
    """How long a condition must hold before an alert opens, and be over before it closes."""

    opens_after: timedelta
    closes_after: timedelta


@dataclass(frozen=True)
class Alert:
    kind: str
    subject: str
    opened_utc: datetime
    closed_utc: datetime | None = None
    worst: float | None = None
    """The most extreme value while the condition held: lowest valid share in %, longest silence in s, largest dark share in %."""

    @property
    def alert_id(self) -> str:
        return f"{self.kind}:{self.subject}:{self.opened_utc:%Y%m%dT%H%M%SZ}"


@dataclass
class AlertWatch:
    """One subject's state: observed up to ``at``, the alert that is open, and since when the other state has been on."""

    kind: str
    subject: str
    rule: Hysteresis
    at: datetime
    alert: Alert | None = None
    since: datetime | None = None
    _worst: float | None = None
    worse: Callable[[float, float], float] = max

    def observe(self, condition: Condition, until: datetime, value: float | None = None) -> Alert | None:
        """What was so from the last observation up to ``until``. Gives the alert if it opened, or closed, by then.

        ``value``: what goes with the condition, for the evidence. Raises ValueError where time runs backwards.
        """
        if until < self.at:
            raise ValueError(f"{self.kind} of {self.subject}: {until} lies before {self.at}, up to where was observed already")
        begin, self.at = self.at, until
        if condition is Condition.HOLDS and value is not None:
            self._worst = value if self._worst is None else self.worse(self._worst, value)
            if self.alert:
                worst = self._worst if self.alert.worst is None else self.worse(self.alert.worst, self._worst)
                self.alert = replace(self.alert, worst=worst)
        if condition is not (Condition.OVER if self.alert else Condition.HOLDS):
            self.since = None
            if not self.alert:
                self._worst = None
            return None
        self.since = begin if self.since is None else self.since
        delay = self.rule.closes_after if self.alert else self.rule.opens_after
        if until - self.since < delay:
            return None
        turned, self.since = self.since + delay, None
        if self.alert is None:
            self.alert = Alert(self.kind, self.subject, turned, worst=self._worst)
            return self.alert
        closed, self.alert, self._worst = replace(self.alert, closed_utc=turned), None, None
        return closed


@dataclass
class Watcher:
    """All subjects of one kind of alert, and the alerts that they had."""

    kind: str
    rule: Hysteresis
    begin: datetime
    """From when on a subject counts as observed that was not heard of before."""
    worse: Callable[[float, float], float] = max
    _watches: dict[str, AlertWatch] = field(default_factory=dict)
    _closed: list[Alert] = field(default_factory=list)

    def carry_over(self, open_alerts: Iterable[Alert]) -> None:
        """Begins with alerts that are open already: what was before they opened is not observed again."""
        for one in open_alerts:
            watch = self.watch(one.subject)
            watch.alert, watch.at = one, max(watch.at, one.opened_utc)

    def reopen(self, alert: Alert) -> None:
        """Takes an alert as open that this watcher has closed, or never opened."""
        self._closed = [one for one in self._closed if one.alert_id != alert.alert_id]
        watch = self.watch(alert.subject)
        watch.alert, watch.since = alert, None

    def watch(self, subject: str) -> AlertWatch:
        if subject not in self._watches:
            self._watches[subject] = AlertWatch(self.kind, subject, self.rule, self.begin, worse=self.worse)
        return self._watches[subject]

    def is_open(self, subject: str) -> bool:
        return subject in self._watches and self._watches[subject].alert is not None

    def observe(self, subject: str, condition: Condition, until: datetime, value: float | None = None) -> Alert | None:
        """As AlertWatch.observe, for a subject."""
        found = self.watch(subject).observe(condition, until, value)
        if found and found.closed_utc:
            self._closed.append(found)
        return found

    def alerts(self) -> list[Alert]:
        """Those that were closed and those that are open, by opening time and subject."""
        found = self._closed + [one.alert for one in self._watches.values() if one.alert]
        return sorted(found, key=lambda one: (one.opened_utc, one.subject))


class SilenceWatcher(Watcher):
    """Offline subjects: an alert opens when nothing was heard for longer than the subject's own limit, counted from the last
    report, and closes when reports have come for long enough.
    """

    def __init__(self, rule: Hysteresis, begin: datetime, limits: Mapping[str, timedelta]):
        super().__init__(DEVICE_OFFLINE, rule, begin)
        self._limits, self._last = limits, dict.fromkeys(limits, begin)

    def carry_over(self, open_alerts: Iterable[Alert]) -> None:
        known = [one for one in open_alerts if one.subject in self._limits]
        super().carry_over(known)
        self._last |= {one.subject: one.opened_utc - self._limits[one.subject] for one in known}

    def seen(self, subject: str, instant: datetime) -> Alert | None:
        """A report came. Gives the alert if it opened or closed by then."""
        found = self._advance(subject, instant)
        self._last[subject] = instant
        return found

    def tick(self, now: datetime) -> list[Alert]:
        """Time went on up to ``now``: the alerts that opened or closed since."""
        return [found for subject in self._limits if (found := self._advance(subject, now))]

    def _advance(self, subject: str, now: datetime) -> Alert | None:
        last, watch = self._last[subject], self.watch(subject)
        late = last + self._limits[subject]
        found = None
        if watch.at < min(late, now):
            found = self.observe(subject, Condition.OVER, min(late, now))
        if now > max(late, watch.at):
            found = self.observe(subject, Condition.HOLDS, now, (now - last).total_seconds()) or found
        return found


class OutagePattern:
    """Which nodes show an area-wide outage, step by step: enough of a node's load meters are dark (silent or at zero) at once,
    and enough of those that were not dark before went dark within two intervals. Where all nodes below a node show it, the node
    itself is told instead of them.
    """

    def __init__(self, parent: np.ndarray, rules: AlertsSection):
        """``parent``: position of the node above, -1 for none."""
        self._parent, self._rules, self._depth = parent, rules, _depth(parent)
        self._outage = np.zeros(len(parent), bool)
        self._before = np.zeros(len(parent))

    def carry_over(self, nodes: np.ndarray) -> None:
        """These nodes (positions) show an outage already, and all below them that are dark."""
        self._outage[nodes] = True
        for _ in range(self._depth):
            self._outage |= (self._parent >= 0) & self._outage[self._parent]

    def step(self, dark: np.ndarray, went_dark: np.ndarray, meters: np.ndarray) -> np.ndarray:
        """(nodes,) whether each is to be told in this interval, from the load meters below each node: how many are dark, how
        many of them were not in the interval before, how many there are.
        """
        judged = meters >= self._rules.outage_meters
        enough = judged & (100.0 * dark >= self._rules.outage_share_pct * np.maximum(meters, 1)) & (dark >= self._rules.outage_meters)
        together = went_dark + self._before
        lit = meters - (dark - together)
        together = (100.0 * together >= self._rules.outage_share_pct * lit) & (2 * together >= self._rules.outage_meters)
        self._before = went_dark.astype(float)
        self._outage = enough & (self._outage | together)
        whole, inner = self._outage.copy(), judged & (self._parent >= 0)
        for _ in range(self._depth):  # where a part below is well, its outages are told one by one
            whole[self._parent[inner & ~whole]] = False
        told, above = whole.copy(), self._parent
        for _ in range(self._depth):
            told &= ~((above >= 0) & whole[above])
            above = np.where(above >= 0, self._parent[above], -1)
        return told


def _depth(parent: np.ndarray) -> int:
    """How many nodes lie above the lowest one; a loop counts as long as it is."""
    above, depth = parent, 0
    while (above >= 0).any() and depth < len(parent):
        above, depth = np.where(above >= 0, parent[above], -1), depth + 1
    return depth


def valid_share_condition(valid_pct: float, meters: float, rules: AlertsSection) -> Condition:
    """Below the minimum it holds; it is over once the share is the closing margin above (at most 100 %).

    ``meters``: load meters of the node. A node of few meters is not judged by one or two of them.
    """
    if valid_pct < rules.minimum_valid_pct:
        lacking = round((100.0 - valid_pct) * meters / 100.0)
        return Condition.HOLDS if lacking >= min(rules.valid_share_meters, meters) else Condition.BETWEEN
    over = min(rules.minimum_valid_pct + rules.closing_margin_pct, 100.0)
    return Condition.OVER if valid_pct >= over else Condition.BETWEEN


def valid_share_watcher(rules: AlertsSection, begin: datetime) -> Watcher:
    """Subjects are nodes; observe ``valid_share_condition`` with the share as value."""
    opens, closes = timedelta(minutes=rules.valid_share_minutes), timedelta(minutes=rules.closing_minutes)
    return Watcher(LOW_VALID_SHARE, Hysteresis(opens, closes), begin, min)


def outage_watcher(rules: AlertsSection, begin: datetime) -> Watcher:
    """Subjects are nodes; observe what an OutagePattern tells, with the dark share in % as value."""
    opens, closes = timedelta(minutes=rules.outage_minutes), timedelta(minutes=rules.closing_minutes)
    return Watcher(AREA_OUTAGE, Hysteresis(opens, closes), begin)


def device_watcher(rules: AlertsSection, begin: datetime, reporting_s: Mapping[str, float]) -> SilenceWatcher:
    """Subjects are devices with a reporting time: late after ``offline_minutes``, or 1.5 reporting times where that is longer."""
    least = timedelta(minutes=rules.offline_minutes)
    limits = {device: max(least, timedelta(seconds=MISSED_REPORTS * every)) for device, every in reporting_s.items()}
    return SilenceWatcher(Hysteresis(timedelta(0), timedelta(minutes=rules.closing_minutes)), begin, limits)


def meter_watcher(rules: AlertsSection, begin: datetime, interval: timedelta) -> Watcher:
    """Subjects are meters; the condition holds in an interval without an arrived value. The value is the silence in s."""
    opens = max(interval, timedelta(minutes=max(rules.offline_minutes, rules.meter_offline_minutes)))
    return Watcher(DEVICE_OFFLINE, Hysteresis(opens, timedelta(minutes=rules.closing_minutes)), begin)


def usage_watcher(begin: datetime) -> Watcher:
    """Subjects are meters; a day is unusual or not as a whole, so an alert counts from its first unusual day's begin."""
    return Watcher(UNUSUAL_CONSUMPTION, Hysteresis(timedelta(0), timedelta(0)), begin)


def is_part_of(silence: Alert, outage: Alert, silent_for: timedelta, slack: timedelta) -> bool:
    """Whether a meter's silence, told after ``silent_for``, began with or in an outage of a node above and was still in it when told."""
    began = silence.opened_utc - silent_for
    return began >= outage.opened_utc - slack and (outage.closed_utc is None or outage.closed_utc >= silence.opened_utc)

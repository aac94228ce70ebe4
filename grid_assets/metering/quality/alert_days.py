"""The alerts of a day, from its readings: the rules of ``alerts`` over a day's arrays.

A day begins with the alerts that were open at the end of the day before, and looks back over that day only to know since when a
condition has been on. So a day's alerts follow from its data and from the day before, however often it is run.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from grid_assets.foundation.alerts import FoundAlert
from grid_assets.foundation.site_sections import AlertsSection
from grid_assets.metering.quality import alerts
from grid_assets.metering.quality.aggregation import Grouped, Tree
from grid_assets.metering.quality.alerts import Alert, Condition, Watcher
from grid_assets.metering.quality.day_matrices import DayMatrices
from grid_assets.metering.tables import ALERTS

SEVERITY = {alerts.LOW_VALID_SHARE: "warning", alerts.AREA_OUTAGE: "critical", alerts.UNUSUAL_CONSUMPTION: "information"}


class DaySignals:
    """What the rules look at, per node and interval, and per meter its silences; taken up shard by shard."""

    def __init__(self, nodes: pd.DataFrame, starts: pd.DatetimeIndex, before: DaySignals | None = None):
        """``before``: the day before, to know which meters went dark at midnight and which had been dark."""
        self.nodes, self.starts = nodes, starts
        self.tree = Tree(nodes)
        self._dark_before = before.dark_at_end if before else {}
        shape = len(nodes), len(starts)
        self._measured, self._dark, self._went_dark = (np.zeros(shape) for _ in range(3))
        self._meters = np.zeros(len(nodes))
        self.dark_at_end: dict[str, bool] = {}
        self.silences: list[pd.DataFrame] = []
        self.meter_ids: set[str] = set()

    def add(self, shard: DayMatrices) -> None:
        """Takes up a shard. A load meter is dark where nothing arrived or it stands at zero, by a refused run of zeros too."""
        ids, nodes = shard.meters["meter_id"].to_numpy(object), self.tree.positions(shard.meters["node_id"])
        load = (shard.meters["kind"] == "load").to_numpy()
        self.meter_ids |= set(ids)
        self.silences.append(_runs(~shard.arrived, ids, nodes))
        dark = (~shard.arrived | shard.at_zero)[load]
        earlier = np.array([self._dark_before.get(one, True) for one in ids[load]], bool)
        went = dark & ~np.column_stack([earlier, dark[:, :-1]]) if dark.size else dark
        if dark.size:
            self.dark_at_end |= dict(zip(ids[load], dark[:, -1], strict=True))
        grouped = Grouped(nodes[load])
        valid = (shard.is_quality("measured") | shard.is_quality("edited"))[load]
        for own, rows in ((self._measured, valid), (self._dark, dark), (self._went_dark, went)):
            grouped.add_to(own, rows)
        np.add.at(self._meters, nodes[load & (nodes >= 0)], 1)

    @property
    def meters(self) -> np.ndarray:
        """(nodes,) load meters below each node."""
        return self.tree.summed(self._meters)

    @property
    def valid_pct(self) -> np.ndarray:
        """(nodes, intervals) load meters below with a valid value, measured or edited; 100 where there are none."""
        count = self.meters[:, None]
        return np.where(count > 0, 100.0 * self.tree.summed(self._measured) / np.maximum(count, 1), 100.0)

    @property
    def dark(self) -> np.ndarray:
        """(nodes, intervals) load meters below that are silent or at zero."""
        return self.tree.summed(self._dark)

    @property
    def went_dark(self) -> np.ndarray:
        """(nodes, intervals) those of them that were not so in the interval before."""
        return self.tree.summed(self._went_dark)


def _runs(silent: np.ndarray, ids: np.ndarray, nodes: np.ndarray) -> pd.DataFrame:
    """Runs of silent intervals: meter_id, node (position), first, after (positions of intervals)."""
    edges = np.diff(np.pad(silent, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, first = np.nonzero(edges == 1)
    _, after = np.nonzero(edges == -1)
    return pd.DataFrame({"meter_id": ids[row], "node": nodes[row], "first": first, "after": after})


@dataclass(frozen=True)
class AlertInputs:
    """A day, the day before it where there is one, and what else the rules need."""

    today: DaySignals
    yesterday: DaySignals | None
    open_alerts: pd.DataFrame
    """Rows of ALERTS of the day before, those that have no closed_utc."""
    reports: pd.DataFrame = field(default_factory=lambda: pd.DataFrame({"device_id": [], "read_utc": pd.DatetimeIndex([], tz="UTC")}))
    """device_id, read_utc: when devices reported on the two days."""
    reporting_s: dict[str, float] = field(default_factory=dict)
    """Seconds between the reports of the devices in force."""
    devices_known: bool = True
    """Whether it is known what devices reported. If not, their alerts stay as they are."""
    anomalies: pd.DataFrame | None = None
    """USAGE_ANOMALIES of the day that are strong enough for an alert; None: not known."""
    anomalies_cut: bool = False
    """Whether the list was cut: a meter that is not on it may still be unusual."""
    outages: pd.DataFrame | None = None
    """OUTAGE_EVENTS of the day, for the evidence."""

    @property
    def span(self) -> tuple[datetime, datetime, datetime]:
        """Where looking back begins, and the bounds of the day."""
        own = self.today.starts
        end = own[-1] + (own[1] - own[0])
        first = self.yesterday.starts[0] if self.yesterday is not None else own[0]
        return first.to_pydatetime(), own[0].to_pydatetime(), end.to_pydatetime()


def day_alerts(inputs: AlertInputs, rules: AlertsSection) -> pd.DataFrame:
    """Every alert that was open on the day (ALERTS). A meter's silence that is part of an outage told above it is not told again."""
    outages, runs = _area_outages(inputs, rules), silent_runs(_window(inputs))
    silent = _beyond_outages(_silent_meters(inputs, rules, runs), outages, runs, inputs, rules)
    found = [*_low_valid_shares(inputs, rules), *outages, *_silent_devices(inputs, rules), *silent]
    frame = pd.DataFrame([_row(one, inputs, rules) for one in found] + _unusual(inputs), columns=ALERTS.columns)
    return frame.sort_values(["opened_utc", "alert_id"], ignore_index=True)


def summary(found: pd.DataFrame) -> dict[str, int]:
    """Key figures of a day's alerts: how many there were of each kind, how many are open at its end."""
    counts = found["kind"].value_counts()
    return {"alerts": len(found), "open": int(found["closed_utc"].isna().sum())} | {kind: int(counts.get(kind, 0)) for kind in alerts.KINDS}


def found_alerts(frame: pd.DataFrame) -> list[FoundAlert]:
    """Rows of ALERTS as the store of alerts takes them."""
    return [
        FoundAlert(one.alert_id, one.kind, one.subject, one.opened_utc, None if pd.isna(one.closed_utc) else one.closed_utc,
                   one.severity, one.evidence)
        for one in frame.itertuples()
    ]  # fmt: skip


class _DayFeed:
    """Tells a watcher what was so on the day and the day before, where the day begins with the alerts that were left open."""

    def __init__(self, watcher: Watcher, inputs: AlertInputs, left_open: Sequence[Alert]):
        self.watcher, self.left_open = watcher, {one.subject: one for one in left_open}
        _, self.begin, _ = inputs.span
        watcher.carry_over(left_open)

    def tell(self, subject: str, condition: Condition, until: datetime, value: float | None = None) -> None:
        """What was so of a subject from the last time up to ``until``; what was told already is not told again."""
        watch = self.watcher.watch(subject)
        for edge in (self.begin, until) if watch.at < self.begin < until else (until,):
            if edge > watch.at:
                self.watcher.observe(subject, condition, edge, value)
                if edge == self.begin:
                    self.restore(subject)

    def restore(self, subject: str) -> None:
        """At midnight: what the day before left open is open, even if looking back finds it closed."""
        if subject in self.left_open and not self.watcher.is_open(subject):
            self.watcher.reopen(self.left_open[subject])

    def alerts(self) -> list[Alert]:
        """The watcher's alerts, less those that were over before the day began."""
        return [one for one in self.watcher.alerts() if one.closed_utc is None or one.closed_utc > self.begin]


def _left_open(inputs: AlertInputs, kind: str) -> list[Alert]:
    rows = inputs.open_alerts[inputs.open_alerts["kind"] == kind]
    return [
        Alert(kind, one.subject, one.opened_utc.to_pydatetime(), None, None if pd.isna(one.worst) else float(one.worst))
        for one in rows.itertuples()
    ]


def _low_valid_shares(inputs: AlertInputs, rules: AlertsSection) -> list[Alert]:
    feed = _DayFeed(alerts.valid_share_watcher(rules, inputs.span[0]), inputs, _left_open(inputs, alerts.LOW_VALID_SHARE))
    ids = inputs.today.nodes["node_id"].tolist()
    days = [(one.valid_pct, one.meters.tolist()) for one in _window(inputs)]
    low = np.logical_or.reduce([(share < rules.minimum_valid_pct).any(axis=1) for share, _ in days])
    for n in np.flatnonzero(low | np.isin(ids, list(feed.left_open))):
        for ends, (values, meters) in zip(_ends(inputs), days, strict=True):
            for until, value in zip(ends, values[n].tolist(), strict=True):
                feed.tell(ids[n], alerts.valid_share_condition(value, meters[n], rules), until, value)
    return feed.alerts()


def _area_outages(inputs: AlertInputs, rules: AlertsSection) -> list[Alert]:
    feed = _DayFeed(alerts.outage_watcher(rules, inputs.span[0]), inputs, _left_open(inputs, alerts.AREA_OUTAGE))
    ids = inputs.today.nodes["node_id"].tolist()
    position = {node: n for n, node in enumerate(ids)}
    pattern = alerts.OutagePattern(inputs.today.tree.parent, rules)
    affected = set(feed.left_open)
    for signals, ends in zip(_window(inputs), _ends(inputs), strict=True):
        if signals is inputs.today:
            pattern.carry_over(np.array([position[one] for one in feed.left_open if one in position], int))
        dark, went, meters = signals.dark, signals.went_dark, signals.meters
        begins = [signals.starts[0].to_pydatetime(), *ends[:-1]]
        for at, (start, until) in enumerate(zip(begins, ends, strict=True)):
            told = {ids[n] for n in np.flatnonzero(pattern.step(dark[:, at], went[:, at], meters))}
            for node in told - affected:
                feed.tell(node, Condition.OVER, start)  # all was well until now
            affected |= told
            for node in affected:
                n = position.get(node)
                share = 100.0 * dark[n, at] / max(meters[n], 1) if n is not None else None
                feed.tell(node, Condition.HOLDS if node in told else Condition.OVER, until, share)
    return feed.alerts()


def _silent_meters(inputs: AlertInputs, rules: AlertsSection, runs: pd.DataFrame) -> list[Alert]:
    first, _, end = inputs.span
    interval = inputs.today.starts[1] - inputs.today.starts[0]
    left_open = [
        one for one in _left_open(inputs, alerts.DEVICE_OFFLINE) if one.subject not in inputs.reporting_s or not inputs.devices_known
    ]
    feed = _DayFeed(alerts.meter_watcher(rules, first, interval.to_pytimedelta()), inputs, left_open)
    delay = feed.watcher.rule.opens_after
    long = runs.loc[runs["until"] - runs["since"] >= delay, "meter_id"].unique()
    for one in runs[runs["meter_id"].isin([*long, *feed.left_open])].itertuples():
        since, until, known = one.since.to_pydatetime(), one.until.to_pydatetime(), feed.left_open.get(one.meter_id)
        begun = min(since, known.opened_utc - delay) if known and since <= max(first, known.opened_utc) else since
        feed.tell(one.meter_id, Condition.OVER, since)
        feed.tell(one.meter_id, Condition.HOLDS, until, (until - begun).total_seconds())
    for meter in {*long, *feed.left_open}:  # what is no longer in a register is silent no more
        is_unknown = meter not in inputs.today.meter_ids and not inputs.devices_known
        feed.tell(meter, Condition.BETWEEN if is_unknown else Condition.OVER, end)
    return feed.alerts()


def _beyond_outages(
    silent: list[Alert], outages: list[Alert], runs: pd.DataFrame, inputs: AlertInputs, rules: AlertsSection
) -> list[Alert]:
    """Silent meters whose silence is not a part of an outage that is told of a node above them."""
    ids, parent = inputs.today.nodes["node_id"].tolist(), inputs.today.tree.parent
    node_of = dict(zip(runs["meter_id"], runs["node"], strict=True))
    interval = (inputs.today.starts[1] - inputs.today.starts[0]).to_pytimedelta()
    delay = alerts.meter_watcher(rules, inputs.span[0], interval).rule.opens_after
    slack = timedelta(minutes=rules.outage_minutes) + interval

    def is_told_above(one: Alert) -> bool:
        node, above = node_of.get(one.subject, -1), set()
        while node >= 0 and ids[node] not in above:
            above.add(ids[node])
            node = parent[node]
        return any(out.subject in above and alerts.is_part_of(one, out, delay, slack) for out in outages)

    return [one for one in silent if not (outages and is_told_above(one))]


def silent_runs(days: Iterable[DaySignals]) -> pd.DataFrame:
    """Silences over days on end, those over midnight in one: meter_id, node, since, until; by meter and time."""
    parts = []
    for one in days:
        step = one.starts[1] - one.starts[0]
        ends = one.starts.append(one.starts[-1:] + step)
        runs = (
            pd.concat(one.silences, ignore_index=True) if one.silences else _runs(np.zeros((0, 1), bool), np.empty(0, object), np.empty(0))
        )
        parts.append(
            pd.DataFrame({"meter_id": runs["meter_id"], "node": runs["node"], "since": ends[runs["first"]], "until": ends[runs["after"]]})
        )
    found = pd.concat(parts, ignore_index=True).sort_values(["meter_id", "since"], ignore_index=True)
    joins = (found["meter_id"] == found["meter_id"].shift()) & (found["since"] == found["until"].shift())
    group = (~joins).cumsum()
    return found.groupby(group).agg({"meter_id": "first", "node": "last", "since": "first", "until": "last"}).reset_index(drop=True)


def _silent_devices(inputs: AlertInputs, rules: AlertsSection) -> list[Alert]:
    first, begin, end = inputs.span
    if not inputs.devices_known:
        return []
    watcher = alerts.device_watcher(rules, first, inputs.reporting_s)
    feed = _DayFeed(watcher, inputs, [one for one in _left_open(inputs, alerts.DEVICE_OFFLINE) if one.subject in inputs.reporting_s])
    reports = inputs.reports[inputs.reports["device_id"].isin(inputs.reporting_s)].sort_values("read_utc", kind="stable")
    is_early = reports["read_utc"] < begin
    for early in (True, False):
        rows = reports[is_early == early]
        for device, instant in zip(rows["device_id"], pd.DatetimeIndex(rows["read_utc"]).to_pydatetime(), strict=True):
            if instant >= watcher.watch(device).at:
                watcher.seen(device, instant)
        watcher.tick(begin if early else end)
        for device in feed.left_open if early else ():
            feed.restore(device)
    return feed.alerts()


def _unusual(inputs: AlertInputs) -> list[dict]:
    """A day's usage is unusual or not as a whole. A meter that is not on the list is usual, where there is a list."""
    _, begin, end = inputs.span
    before = {one.subject: one for one in inputs.open_alerts[inputs.open_alerts["kind"] == alerts.UNUSUAL_CONSUMPTION].itertuples()}
    feed = _DayFeed(alerts.usage_watcher(begin), inputs, _left_open(inputs, alerts.UNUSUAL_CONSUMPTION))
    listed = {} if inputs.anomalies is None else {one.meter_id: one for one in inputs.anomalies.itertuples()}
    rest = Condition.BETWEEN if inputs.anomalies is None or inputs.anomalies_cut else Condition.OVER
    for meter in sorted({*listed, *before}):
        row = listed.get(meter)
        feed.tell(meter, Condition.HOLDS if row else rest, end, row.evidence if row else None)
    return [
        _plain_row(one, SEVERITY[one.kind], listed[one.subject].explanation if one.subject in listed else before[one.subject].evidence)
        for one in feed.watcher.alerts()
    ]


def _window(inputs: AlertInputs) -> list[DaySignals]:
    return [inputs.today] if inputs.yesterday is None else [inputs.yesterday, inputs.today]


def _ends(inputs: AlertInputs) -> list[list[datetime]]:
    """The ends of the intervals of each day of the window."""
    return [(one.starts + (one.starts[1] - one.starts[0])).to_pydatetime().tolist() for one in _window(inputs)]


# -- words ------------------------------------------------------------------------------------------------------


def _row(one: Alert, inputs: AlertInputs, rules: AlertsSection) -> dict:
    severity = SEVERITY.get(one.kind) or ("warning" if one.subject in inputs.reporting_s else "information")
    return _plain_row(one, severity, _evidence(one, inputs, rules))


def _plain_row(one: Alert, severity: str, evidence: str) -> dict:
    return {"alert_id": one.alert_id, "kind": one.kind, "subject": one.subject, "opened_utc": one.opened_utc, "closed_utc": one.closed_utc,
            "severity": severity, "evidence": evidence, "worst": one.worst}  # fmt: skip


def _evidence(one: Alert, inputs: AlertInputs, rules: AlertsSection) -> str:
    worst = one.worst or 0.0
    if one.kind == alerts.DEVICE_OFFLINE:
        return f"nothing arrived for {worst / 60:.0f} min" if worst < 7200 else f"nothing arrived for {worst / 3600:.1f} h"
    node = inputs.today.nodes["node_id"].tolist().index(one.subject) if one.subject in set(inputs.today.nodes["node_id"]) else -1
    meters = int(inputs.today.meters[node]) if node >= 0 else 0
    if one.kind == alerts.LOW_VALID_SHARE:
        return f"valid readings of {meters} load meters fell to {worst:.1f} %, below {rules.minimum_valid_pct:g} %"
    return f"up to {worst:.0f} % of {meters} load meters silent or at zero at once, most of them since the same time{_known(one, inputs)}"


def _known(one: Alert, inputs: AlertInputs) -> str:
    """The outage events that the utility knows of at that node at that time."""
    if inputs.outages is None or not len(inputs.outages):
        return ""
    known = inputs.outages[(inputs.outages["node_id"] == one.subject) & (inputs.outages["start_utc"] <= one.opened_utc)]
    known = known[known["end_utc"].isna() | (known["end_utc"] >= one.opened_utc)]
    return f"; known outage {', '.join(known['outage_id'])}" if len(known) else "; no outage event is known"

"""Drafts a demand-response event for an expected constraint violation. A person decides on a draft; nothing is sent.

How much reduction is needed is an estimate:
* overload: the share of the branch's flow that lies above its limit, ``p * (loading - limit) / loading``;
* undervoltage: the voltage drop below 1 p.u. grows with the load in proportion, so the part of the feeder's expected load
  that makes up ``(limit - v) / (1 - v)`` of the drop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import pandas as pd

from grid_assets.foundation.site_sections import Programme

RELIEVED_BY_REDUCTION = ("overload", "undervoltage")
"""An overvoltage asks for more load, not less: demand response drafts nothing for it."""
WHOLE_NETWORK = "network"
GAP = timedelta(hours=1)
"""Violations closer together than this belong to one window."""


class DraftError(ValueError):
    """A constraint event that cannot be drafted: its key names no violation of that day."""


@dataclass(frozen=True)
class Constraint:
    """The violations of one kind on one feeder in the study of one day run."""

    key: str
    day: date
    kind: str
    feeder_id: str | None
    violations: pd.DataFrame


def constraints_of(violations: pd.DataFrame, day: date) -> list[Constraint]:
    """The constraint events that a day run's violations make up: one per feeder and kind that a reduction can relieve."""
    relevant = violations[violations["kind"].isin(RELIEVED_BY_REDUCTION)]
    made = []
    for (feeder, kind), rows in relevant.groupby([relevant["feeder_id"].fillna(""), "kind"]):
        name = re.sub(r"[^A-Za-z0-9._@+:-]", "_", feeder or WHOLE_NETWORK)
        made.append(Constraint(f"{day.isoformat()}.{name}.{kind}", day, kind, feeder or None, rows.reset_index(drop=True)))
    return made


def day_of_key(key: str) -> date:
    """The day run that a constraint event's key speaks of. Raises DraftError."""
    try:
        return date.fromisoformat(key[:10])
    except ValueError as error:
        raise DraftError(f"{key!r} names no day run; expected <YYYY-MM-DD>.<feeder>.<kind>") from error


def constraint_named(key: str, violations: pd.DataFrame) -> Constraint | None:
    """The constraint event of that key; None where the day's study, perhaps run again since, has no such violation."""
    return next((one for one in constraints_of(violations, day_of_key(key)) if one.key == key), None)


def draft(
    constraint: Constraint,
    loadings: pd.DataFrame,
    forecasts: pd.DataFrame,
    candidates: pd.DataFrame,
    programme: Programme,
    interval: timedelta,
    priorities: Mapping[str, int],
) -> pd.DataFrame:
    """The rows of demand_response/drafted_events: one per window of violations.

    ``loadings``: network/branch_loadings, ``forecasts``: forecasting/demand_forecasts of the same day run. ``candidates``: the
    programme's participants behind the constraint with customer_class, from ``behind``. ``priorities``: customer class -> 1 the
    most important; the least important are invited first, then the largest commitment.
    """
    needs = needed_kw(constraint, loadings, forecasts)
    lowest = max(priorities.values(), default=0) + 1
    ranked = candidates.assign(rank=candidates["customer_class"].map(priorities).fillna(lowest)).sort_values(
        ["rank", "committed_kw", "participant_id"], ascending=[False, False, True]
    )
    rows = []
    for start, end in windows(constraint.violations["start_utc"], interval):
        inside = needs[(needs["start_utc"] >= start) & (needs["start_utc"] < end)]
        worst = inside.loc[inside["needed_kw"].idxmax()]
        before = ranked["committed_kw"].cumsum() - ranked["committed_kw"]
        invited = ranked[before < worst["needed_kw"]]
        committed = float(invited["committed_kw"].sum())
        rows.append(
            {
                "draft_id": constraint.key, "state": "draft", "programme": programme.name, "kind": constraint.kind,
                "feeder_id": constraint.feeder_id, "start_utc": start, "end_utc": end,
                "latest_notice_utc": start - timedelta(minutes=programme.minimum_notice_minutes),
                "target_kw": float(worst["needed_kw"]), "worst_element_id": worst["element_id"], "worst_value": worst["value"],
                "worst_limit": worst["limit"], "committed_kw": committed,
                "shortfall_kw": max(0.0, float(worst["needed_kw"]) - committed),
                "participants": " ".join(invited["participant_id"]), "participants_available": len(ranked),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def windows(starts: pd.Series, interval: timedelta) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
    """The spans that intervals cover, those less than an hour apart joined."""
    found: list[tuple[pd.Timestamp, pd.Timestamp]] = []
    for start in sorted(set(starts)):
        if found and start - found[-1][1] < GAP:
            found[-1] = (found[-1][0], start + interval)
        else:
            found.append((start, start + interval))
    return found


def needed_kw(constraint: Constraint, loadings: pd.DataFrame, forecasts: pd.DataFrame) -> pd.DataFrame:
    """The violations with needed_kw, the reduction that brings each back to its limit (see the module's text)."""
    rows = constraint.violations
    if constraint.kind == "overload":
        flows = loadings.rename(columns={"branch_id": "element_id"})[["element_id", "scenario", "start_utc", "p_mw"]]
        joined = rows.merge(flows, on=["element_id", "scenario", "start_utc"], how="left")
        if joined["p_mw"].isna().any():
            one = joined[joined["p_mw"].isna()].iloc[0]
            raise DraftError(
                f"{constraint.key}: {one['element_id']} at {one['start_utc']} is overloaded but has no flow in network/branch_loadings"
            )
        return joined.assign(needed_kw=1000 * joined["p_mw"].abs() * (joined["value"] - joined["limit"]) / joined["value"])
    load = feeder_load_kw(constraint.feeder_id, forecasts)
    joined = rows.assign(load_kw=rows["start_utc"].map(load))
    if joined["load_kw"].isna().any():
        missing = joined.loc[joined["load_kw"].isna(), "start_utc"].iloc[0]
        raise DraftError(
            f"{constraint.key}: forecasting/demand_forecasts has no load of {constraint.feeder_id or 'the system'} at {missing}"
        )
    share = (joined["limit"] - joined["value"]) / (1 - joined["value"])
    return joined.assign(needed_kw=joined["load_kw"].clip(lower=0) * share.clip(0, 1))


def feeder_load_kw(feeder_id: str | None, forecasts: pd.DataFrame) -> pd.Series:
    """Expected load by start_utc of the feeder; of the largest node, the system, where the feeder is no node of its own."""
    nodes: Sequence[str] = forecasts["node_id"].unique().tolist()
    if feeder_id in nodes:
        chosen = feeder_id
    elif nodes:
        chosen = forecasts.groupby("node_id")["mean_kw"].sum().idxmax()
    else:
        return pd.Series(dtype=float)
    return forecasts[forecasts["node_id"] == chosen].set_index("start_utc")["mean_kw"]


def buses_at(instant: pd.Timestamp, buses: pd.DataFrame, topologies: pd.DataFrame) -> pd.DataFrame:
    """The buses of the switching state that is in force then; of the first one where the instant is before all. None without a state."""
    begun = topologies.sort_values("valid_from_utc")
    then = begun[begun["valid_from_utc"] <= instant].tail(1)
    return buses[buses["topology_hash"].isin((then if len(then) else begun.head(1))["topology_hash"])]


def behind(feeder_id: str | None, participants: pd.DataFrame, meters: pd.DataFrame, buses: pd.DataFrame) -> pd.DataFrame:
    """The participants whose meter hangs on the feeder, by its node or its bus, with customer_class; all for None."""
    known = meters.drop_duplicates("meter_id", keep="last")[["meter_id", "node_id", "bus_id", "customer_class"]]
    joined = participants.merge(known, on="meter_id", how="left")
    if feeder_id is None:
        return joined
    on_feeder = set(buses.loc[buses["feeder_id"] == feeder_id, "bus_id"])
    return joined[(joined["node_id"] == feeder_id) | joined["bus_id"].isin(on_feeder)]

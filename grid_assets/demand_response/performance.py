"""From baselines to what each participant delivered, and from there to deliveries that can be settled."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd

from grid_assets.demand_response.baselines import MEASURED
from grid_assets.demand_response.events import Event
from grid_assets.demand_response.settlement import Delivery, Terms, Tier, exact, tier_name
from grid_assets.foundation.site_sections import Programme


def terms_of(event: Event, programme: Programme) -> Terms:
    """What an event is settled by, in exact decimals."""
    tiers = tuple(Tier(Decimal(str(one.minimum_ratio)), Decimal(str(one.rate_multiplier))) for one in programme.tiers)
    return Terms(
        Decimal(programme.rate_per_kwh), tiers, Decimal(str(programme.payment_cap_ratio)), Decimal(str(event.target_kw)),
        event.hours, event.cancelled,
    )  # fmt: skip


def performance(
    event: Event,
    participants: pd.DataFrame,
    baselines: pd.DataFrame,
    responses: Mapping[tuple[str, str], str],
    terms: Terms,
    minimum_coverage_pct: float,
) -> pd.DataFrame:
    """The rows of demand_response/performance: delivered energy, ratio and tier of each participant.

    A measurement may be paid on when there is a baseline and at least ``minimum_coverage_pct`` of the intervals of the event
    and its adjustment window were measured, not estimated. An interval of the event without a value counts as no reduction.
    """
    measured = _per_participant(baselines)
    rows = []
    for one in participants.itertuples():
        found = measured.loc[one.participant_id]
        committed = committed_kwh(one.committed_kw, terms)
        delivered = None if pd.isna(found["delivered_kwh"]) else exact(found["delivered_kwh"])
        reason = _reason(found, minimum_coverage_pct)
        response = responses.get((event.event_id, one.participant_id), "optIn")
        delivery = Delivery(one.participant_id, committed, delivered, response == "optOut", reason is None)
        rows.append(
            {
                "event_id": event.event_id, "participant_id": one.participant_id, "committed_kwh": float(committed),
                "delivered_kwh": None if delivered is None else float(delivered),
                "performance_ratio": None if delivered is None else float(Fraction(max(delivered, Decimal(0))) / committed),
                "tier": tier_name(delivery, terms), "response": response, "coverage_pct": found["coverage_pct"],
                "adjustment_ratio": found["adjustment_ratio"], "baseline_days_used": found["baseline_days_used"],
                "payable": reason is None, "reason": reason,
            }
        )  # fmt: skip
    columns = ["event_id", "participant_id", "committed_kwh", "delivered_kwh", "performance_ratio", "tier", "response", "coverage_pct",
               "adjustment_ratio", "baseline_days_used", "payable", "reason"]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)


def committed_kwh(committed_kw: float, terms: Terms) -> Fraction:
    """What a participant promised over the event, exactly."""
    return Fraction(exact(committed_kw)) * terms.hours


def deliveries(performance_rows: pd.DataFrame, participants: pd.DataFrame, terms: Terms) -> list[Delivery]:
    """The rows of demand_response/performance as exact deliveries, each against what its participant promised."""
    promised = dict(zip(participants["participant_id"], participants["committed_kw"], strict=True))
    return [
        Delivery(
            row.participant_id,
            committed_kwh(promised[row.participant_id], terms),
            None if pd.isna(row.delivered_kwh) else exact(row.delivered_kwh),
            row.response == "optOut",
            bool(row.payable),
        )
        for row in performance_rows.itertuples()
    ]


def unpayable(performance_rows: pd.DataFrame) -> str:
    """Whose measurement may not be paid on and why, in words; empty where everybody's may."""
    poor = performance_rows[~performance_rows["payable"].astype(bool)]
    more = f"; and {len(poor) - 10} more" if len(poor) > 10 else ""
    return "; ".join(f"{row.participant_id}: {row.reason}" for row in poor.head(10).itertuples()) + more


def _per_participant(baselines: pd.DataFrame) -> pd.DataFrame:
    in_event = baselines[baselines["period"] == "event"]
    counted = baselines[baselines["period"].isin(["event", "adjustment"])]
    found = baselines.groupby("participant_id")[["adjustment_ratio", "baseline_days_used"]].first()
    found["fault"] = baselines.groupby("participant_id")["fault"].agg(lambda values: values.iloc[0])
    found["delivered_kwh"] = in_event.groupby("participant_id")["reduction_kwh"].sum(min_count=1)
    measured = counted["quality"].isin(MEASURED) & counted["actual_kwh"].notna()
    found["coverage_pct"] = 100 * measured.groupby(counted["participant_id"]).mean()
    return found.replace({np.nan: None}).astype({"coverage_pct": float})


def _reason(found: pd.Series, minimum_coverage_pct: float) -> str | None:
    if found["fault"]:
        return f"{found['fault']}: only {found['baseline_days_used']} like days are complete"
    if found["coverage_pct"] < minimum_coverage_pct:
        return f"LOW_COVERAGE: {found['coverage_pct']:.1f} % measured, {minimum_coverage_pct:g} % needed"
    return None

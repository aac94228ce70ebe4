"""Which Dagster partitions a table's partition stands for, on one site."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from grid_assets.foundation.site import Site

DR_EVENTS = dg.DynamicPartitionsDefinition(name="dr_events")
CONSTRAINT_EVENTS = dg.DynamicPartitionsDefinition(name="constraint_events")
STUDIES = dg.DynamicPartitionsDefinition(name="studies")
SCENARIOS = dg.DynamicPartitionsDefinition(name="scenarios")
NETWORK_RANGES = dg.DynamicPartitionsDefinition(name="network_ranges")

_DYNAMIC = {
    "dr_event": DR_EVENTS, "constraint_event": CONSTRAINT_EVENTS, "study": STUDIES, "scenario": SCENARIOS, "network_range": NETWORK_RANGES,
}  # fmt: skip


def site_days(site: Site) -> dg.DailyPartitionsDefinition:
    """One partition a site-local day: those of a replay's calendar, or from the first day to yesterday."""
    last = site.calendar.last_day
    return dg.DailyPartitionsDefinition(
        start_date=site.calendar.first_day.isoformat(),
        end_date=(last + timedelta(days=1)).isoformat() if last else None,
        timezone=site.time_zone,
    )


def partitions_of(partition: str, site: Site) -> dg.PartitionsDefinition | None:
    if partition in ("site_day", "arrival_day", "intraday"):
        return site_days(site)
    return _DYNAMIC.get(partition)

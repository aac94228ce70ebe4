"""The key figures of a day, as the summary of `grid-assets daily` shows them. Read from the lake, so that they are what was published."""

from __future__ import annotations

from datetime import date

from grid_assets.definitions import areas_of
from grid_assets.demand_response.tables import SETTLEMENTS
from grid_assets.forecasting.tables import DEMAND_FORECASTS, FORECAST_ACCURACY
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.registers import NODES
from grid_assets.foundation.site import Site
from grid_assets.market.tables import PRICE_WHAT_IFS
from grid_assets.metering.tables import METER_DAYS, NODE_LOADS
from grid_assets.network.tables import CONSTRAINT_VIOLATIONS, FLOW_CERTIFICATES
from grid_assets.storage.tables import SCHEDULE_KPIS

Figures = list[tuple[str, str]]


def key_figures(site: Site, day: date) -> Figures:
    """Name and value, in the order of the data; an area that the site does not have says nothing."""
    lake = Lake(site.lake_root)
    parts = {
        "metering": _metering, "forecasting": _forecasting, "network": _network, "storage": _storage, "market": _market,
        "demand_response": _settlements,
    }  # fmt: skip
    return [figure for area in areas_of(site) if area in parts for figure in parts[area](site, lake, day)]


def _system(lake: Lake) -> str:
    nodes = lake.read(NODES)
    return nodes.loc[nodes["level"] == "system", "node_id"].iloc[0]


def _metering(site: Site, lake: Lake, day: date) -> Figures:
    loads = lake.read(NODE_LOADS, day)
    loads = loads[loads["node_id"] == _system(lake)]
    days = lake.read(METER_DAYS, day)
    expected = days["expected_intervals"].sum()
    if days["missing_intervals"].sum() == expected:
        return [(f"energy on {day}", f"no reading of {len(days)} meters has arrived")]
    return [
        (f"energy on {day}", f"{loads['energy_kwh'].sum() / 1000:,.1f} MWh consumed, {loads['generation_kwh'].sum() / 1000:,.1f} MWh generated"),
        ("readings", f"{days['valid_intervals'].sum() / expected:.1%} measured, {days['estimated_intervals'].sum() / expected:.1%} estimated, "
                     f"{days['missing_intervals'].sum() / expected:.1%} missing, {len(days)} meters"),
    ]  # fmt: skip


def _forecasting(site: Site, lake: Lake, day: date) -> Figures:
    study = site.clock.study_day(day)
    start, end = site.clock.bounds(study)
    forecast = lake.read(DEMAND_FORECASTS, day)
    forecast = forecast[(forecast["node_id"] == _system(lake)) & (forecast["start_utc"] >= start) & (forecast["start_utc"] < end)]
    peak = forecast.loc[forecast["mean_kw"].idxmax()]
    at = peak["start_utc"].tz_convert(site.zone)
    figures = [
        (
            f"peak expected on {study}",
            f"{peak['mean_kw']:,.0f} kW at {at:%H:%M} (90 %: {peak['p05_kw']:,.0f} to {peak['p95_kw']:,.0f} kW), model {peak['model']}",
        )
    ]
    accuracy = lake.read(FORECAST_ACCURACY, day)
    accuracy = accuracy[(accuracy["subject_id"] == _system(lake)) & (accuracy["horizon_class"] == "day_ahead")]
    for row in accuracy.itertuples():
        figures.append(
            (
                f"forecast of {day}",
                f"MAE {row.mae_kw:,.0f} kW (weekly naive {row.naive_mae_kw:,.0f} kW), {row.coverage_90_pct:.0f} % inside the 90 % band",
            )
        )
    return figures


def _network(site: Site, lake: Lake, day: date) -> Figures:
    states = lake.read(FLOW_CERTIFICATES, day)
    violations = lake.read(CONSTRAINT_VIOLATIONS, day)
    kinds = ", ".join(f"{count} {kind}" for kind, count in violations["kind"].value_counts().items()) or "none"
    return [
        ("voltages, loading", f"{states['minimum_vm_pu'].min():.3f} to {states['maximum_vm_pu'].max():.3f} p.u., highest loading {states['maximum_loading_pct'].max():.0f} %"),
        ("violations (element and interval)", kinds),
    ]  # fmt: skip


def _storage(site: Site, lake: Lake, day: date) -> Figures:
    kpis = lake.read(SCHEDULE_KPIS, day).set_index("strategy")
    before, after = kpis.loc["no_storage"], kpis.loc["optimised"]
    return [
        ("storage", f"peak {before['peak_kw']:,.0f} -> {after['peak_kw']:,.0f} kW, renewable utilisation {before['renewable_utilisation_pct']:.1f} -> {after['renewable_utilisation_pct']:.1f} %, gap {after['gap_pct']:.2g} %"),
    ]  # fmt: skip


def _market(site: Site, lake: Lake, day: date) -> Figures:
    from grid_assets.jobs import study_of

    return [
        (f"price what-if, {row.candidate_tariff} against {row.base_tariff}",
         f"peak {row.peak_change_pct:+.1f} %, {row.shifted_kwh:,.0f} kWh shifted, revenue {row.revenue_change:+,.0f} {site.currency}")
        for row in lake.read(PRICE_WHAT_IFS, study_of(site, day)).itertuples()
    ]  # fmt: skip


def _settlements(site: Site, lake: Lake, day: date) -> Figures:
    from grid_assets.demand_response.events import ended_events

    figures = []
    for event in ended_events(site, day):
        for row in lake.read(SETTLEMENTS, event).sort_values("revision").tail(1).itertuples():
            achieved = f"{row.achievement_pct:.0f} % of target, " if row.achievement_pct == row.achievement_pct else ""
            figures.append((f"event {row.event_id}", f"{achieved}{row.outcome}, pays {row.total_amount} {site.currency}"))
    return figures

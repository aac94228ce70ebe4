"""A price what-if: a candidate tariff against the base on one study day, and the signals of both."""

from __future__ import annotations

import re
from datetime import date

import numpy as np
import pandas as pd

from grid_assets.foundation.site import Site
from grid_assets.foundation.site_sections import MarketSection
from grid_assets.market.loads import MarketInputError, StudyLoads
from grid_assets.market.price_response import Elasticities, respond
from grid_assets.market.tariffs import price_series, tariff_named

STUDY_ID = re.compile(r"^(?P<day>\d{4}-\d{2}-\d{2})\.(?P<candidate>[A-Za-z0-9_-]+)\.vs\.(?P<base>[A-Za-z0-9_-]+)$")
TARIFF_NAME = re.compile(r"^[A-Za-z0-9_-]+$")
LOW, HIGH = 0.5, 1.5
"""Factors on the elasticities of the two variants."""


class StudyError(ValueError):
    """A study id that names no study."""


def market_of(site: Site) -> MarketSection:
    """The site's [market] section. Raises StudyError where it has none."""
    if site.market is None:
        raise StudyError(f"site {site.name} has no [market] section; add one to study prices")
    return site.market


def default_study(site: Site, day: date) -> str:
    """The id of the study that belongs to the day run of ``day``: the site's candidate against its base tariff."""
    return study_id(day, market_of(site).candidate_tariff, market_of(site).base_tariff)


def study_id(day: date, candidate: str, base: str) -> str:
    """``2016-05-24.time_of_use.vs.flat``. Raises StudyError for a tariff name that such an id cannot carry."""
    for name in (candidate, base):
        if not TARIFF_NAME.match(name):
            raise StudyError(f"tariff name {name!r} cannot stand in a study id; expected letters, digits, _ and - only")
    return f"{day.isoformat()}.{candidate}.vs.{base}"


def parse_study(study: str) -> tuple[date, str, str]:
    """The day run, candidate and base tariff that an id names. Raises StudyError saying what was expected."""
    found = STUDY_ID.match(study)
    if found is None:
        raise StudyError(f"{study!r} is no study id; expected DAY.CANDIDATE.vs.BASE, such as 2016-05-24.time_of_use.vs.flat")
    try:
        day = date.fromisoformat(found["day"])
    except ValueError as error:
        raise StudyError(f"{study!r}: {found['day']} is not a day of the calendar; expected YYYY-MM-DD") from error
    return day, found["candidate"], found["base"]


def elasticities_of(site: Site, own_price: float | None = None, substitution: float | None = None) -> Elasticities:
    """The site's assumptions, or those given instead, which the source then says."""
    market = market_of(site)
    source = market.elasticity_source
    if own_price is not None or substitution is not None:
        source = f"given for this run; otherwise {source}"
    return Elasticities(
        market.own_price_elasticity if own_price is None else own_price,
        market.substitution_elasticity if substitution is None else substitution,
        source,
    )


def price_signals(site: Site, day: date, loads: StudyLoads, elasticities: Elasticities | None = None) -> pd.DataFrame:
    """The site's base and candidate tariff on the study day of ``day``, each with the system load expected under it."""
    elasticities = elasticities or elasticities_of(site)
    market, study_day = market_of(site), site.clock.study_day(day)
    names = dict.fromkeys((market.base_tariff, market.candidate_tariff))
    series = {name: price_series(tariff_named(site, name), site.clock, study_day) for name in names}
    base = series[market.base_tariff]["price_per_kwh"].to_numpy()
    made = []
    for name, prices in series.items():
        answered = respond(loads.leaves.to_numpy(), base, prices["price_per_kwh"].to_numpy(), elasticities)
        made.append(prices.assign(signal_id=name, expected_load_kw=answered.sum(axis=1)))
    assumed = {"own_price_elasticity": elasticities.own_price, "substitution_elasticity": elasticities.substitution}
    return pd.concat(made, ignore_index=True).assign(**assumed)


def price_what_if(site: Site, study: str, loads: StudyLoads, elasticities: Elasticities | None = None) -> pd.DataFrame:
    """One row for a study: what changes when the candidate tariff takes the base's place.

    The base load is the forecast, leaf by leaf. Raises StudyError, TariffError, MarketInputError, PriceResponseError.
    """
    day, candidate, base = parse_study(study)
    elasticities = elasticities or elasticities_of(site)
    study_day = site.clock.study_day(day)
    if len(loads.starts) != len(site.clock.intervals(study_day)) or loads.starts[0] != site.clock.intervals(study_day)[0]:
        raise MarketInputError(f"study {study}: the loads begin at {loads.starts[0]}, expected those of {study_day}")
    old = price_series(tariff_named(site, base), site.clock, study_day)["price_per_kwh"].to_numpy()
    new = price_series(tariff_named(site, candidate), site.clock, study_day)["price_per_kwh"].to_numpy()
    supply = price_series(tariff_named(site, procurement_tariff(site, base)), site.clock, study_day)["price_per_kwh"].to_numpy()
    start, end = site.clock.bounds(study_day)
    before = loads.leaves.to_numpy()
    after = respond(before, old, new, elasticities)
    row = {
        "study_id": study,
        "base_tariff": base,
        "candidate_tariff": candidate,
        "start_utc": pd.Timestamp(start),
        "end_utc": pd.Timestamp(end),
        "own_price_elasticity": elasticities.own_price,
        "substitution_elasticity": elasticities.substitution,
        "elasticity_source": elasticities.source,
        **_load_figures(before, after, loads.interval_hours),
        **_money_figures(before, after, old, new, supply, loads.interval_hours),
        "renewable_utilisation_pct": _utilisation(after, loads),
        "base_renewable_utilisation_pct": _utilisation(before, loads),
    }
    for name, factor in (("low", LOW), ("high", HIGH)):
        variant = respond(before, old, new, elasticities.scaled(factor))
        row[f"peak_change_{name}_elasticity_pct"] = _change_pct(before.sum(axis=1).max(), variant.sum(axis=1).max())
    return pd.DataFrame([row])


def procurement_tariff(site: Site, base: str) -> str:
    """The tariff whose prices stand for what energy costs the supplier: the site's, else the base."""
    return market_of(site).procurement or base


def _load_figures(before: np.ndarray, after: np.ndarray, hours: float) -> dict[str, float]:
    old, new = before.sum(axis=1), after.sum(axis=1)
    energy = np.maximum(before, 0.0).sum(axis=0)
    scale = np.maximum(after, 0.0).sum(axis=0) / np.where(energy == 0, 1.0, energy)
    return {
        "base_peak_kw": float(old.max()),
        "peak_change_pct": _change_pct(old.max(), new.max()),
        # a leaf's load where it rose against its own day of changed energy: what arrived there left other intervals
        "shifted_kwh": float(np.maximum(after - np.where(before > 0, before * scale, before), 0.0).sum() * hours),
        "base_energy_kwh": float(old.sum() * hours),
        "energy_change_pct": _change_pct(old.sum(), new.sum()),
    }


def _money_figures(
    before: np.ndarray, after: np.ndarray, old: np.ndarray, new: np.ndarray, supply: np.ndarray, hours: float
) -> dict[str, float]:
    """Revenue, cost of energy and bills; a leaf without a bill under the base has no relative change and is left out."""
    bills_before, bills_after = hours * (old @ before), hours * (new @ after)
    billed = bills_before > 0
    change = 100.0 * (bills_after[billed] / bills_before[billed] - 1.0)
    low, high = np.quantile(change, [0.05, 0.95]) if billed.any() else (np.nan, np.nan)
    return {
        "procurement_cost_change": float(hours * (supply @ (after - before)).sum()),
        "base_revenue": float(bills_before.sum()),
        "candidate_revenue": float(bills_after.sum()),
        "revenue_change": float(bills_after.sum() - bills_before.sum()),
        "bill_change_p05_pct": float(low),
        "bill_change_p95_pct": float(high),
    }


def _utilisation(load: np.ndarray, loads: StudyLoads) -> float:
    """Generation used in its own interval of what was available, without storage, in percent; NaN where none was."""
    made = loads.generation_kw
    if made is None or made.sum() <= 0:
        return float("nan")
    return float(100.0 * np.minimum(made, np.maximum(load.sum(axis=1), 0.0)).sum() / made.sum())


def _change_pct(old: float, new: float) -> float:
    return float(100.0 * (new / old - 1.0)) if old else 0.0

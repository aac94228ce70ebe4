"""A small lake with something in every area that a mart reads."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from grid_assets.foundation.check_results import CHECK_RESULTS
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.tables import Table
from grid_assets.reporting.contracts import declared_tables, source_tables

DAYS = [date(2016, 5, 23), date(2016, 5, 24)]
WORDS = {
    "level": "feeder", "severity": "warning", "outcome": "succeeded", "strategy": "optimised", "kind": "load", "horizon_class": "day_ahead",
    "currency": "EUR", "rule": "parse",
}  # fmt: skip


def rows_of(table: Table, count: int, **given) -> pd.DataFrame:
    """``count`` made-up rows that fit a table's declaration."""
    made = {}
    for one in table.fields:
        if one.name in given:
            values = given[one.name]
            made[one.name] = values if isinstance(values, list) else [values] * count
        elif pa.types.is_string(one.type):
            made[one.name] = [WORDS.get(one.name, f"{one.name}-{n}") for n in range(count)]
        elif pa.types.is_timestamp(one.type):
            made[one.name] = [pd.Timestamp("2016-05-24", tz="UTC") + timedelta(minutes=15 * n) for n in range(count)]
        elif pa.types.is_date32(one.type):
            made[one.name] = [DAYS[0]] * count
        elif pa.types.is_decimal(one.type):
            made[one.name] = [Decimal("1.25")] * count
        elif pa.types.is_boolean(one.type):
            made[one.name] = [True] * count
        else:
            made[one.name] = [n + 1 for n in range(count)]
    return pd.DataFrame(made)


def seed(lake: Lake) -> None:
    known = declared_tables()
    for day in DAYS:
        days = known["metering/meter_days"]
        lake.write(
            days,
            rows_of(
                days,
                3,
                day=day,
                node_id=["F1", "F1", "F2"],
                energy_kwh=[10.0, 20.5, 7.0],
                expected_intervals=96,
                valid_intervals=[96, 48, 0],
            ),
            day,
        )
        lake.write(
            known["metering/node_loads"],
            rows_of(
                known["metering/node_loads"],
                4,
                start_utc=[pd.Timestamp(day, tz="UTC") + timedelta(minutes=15 * n) for n in range(4)],
                node_id="F1",
                energy_kwh=5.0,
                generation_kwh=2.0,
            ),
            day,
        )
        lake.write(known["metering/quality_profiles"], rows_of(known["metering/quality_profiles"], 2, day=day), day)
        lake.write(
            known["metering/rejected_readings"],
            rows_of(
                known["metering/rejected_readings"],
                3,
                file_id="f",
                source_file="a.csv",
                reason=["third", "first", "second"],
                source_row=[9, 2, 5],
            ),
            day,
        )
        forecasts = known["forecasting/demand_forecasts"]
        first = pd.Timestamp("2016-05-25", tz="UTC")
        lake.write(
            forecasts,
            rows_of(
                forecasts,
                4,
                node_id="F1",
                issued_utc=pd.Timestamp(day, tz="UTC") + timedelta(days=1),
                start_utc=[first + timedelta(minutes=30 * n) for n in range(4)],
                mean_kw=float(day.day),
            ),
            day,
        )
        lake.write(
            known["forecasting/forecast_accuracy"],
            rows_of(known["forecasting/forecast_accuracy"], 2, day=day, naive_mae_kw=[4.0, 0.0], mae_kw=[3.0, 0.0]),
            day,
        )
        lake.write(known["network/flow_certificates"], rows_of(known["network/flow_certificates"], 1, scenario="expected"), day)
    violations = known["network/constraint_violations"]
    lake.write(
        violations, rows_of(violations, 3, scenario="expected", kind="overload", severity=["warning", "critical", "critical"]), DAYS[1]
    )
    lake.write(violations, violations.empty(), DAYS[0])
    for name, given in (
        ("contingency_results", {"severity": ["none", "critical"]}),
        ("hosting_capacity", {"pv_kw": [100.0, 250.0]}),
        ("remedies", {"kind": "overload"}),
        ("violation_probabilities", {"kind": "overload", "probability": [0.25, 0.5]}),
        ("anomalies", {}),
    ):
        lake.write(known[f"network/{name}"], rows_of(known[f"network/{name}"], 2, **given), DAYS[1])
    elements = known["network/range_elements"]
    lake.write(elements, rows_of(elements, 2, quantity=["vm_pu", "loading_pct"]), "2016-01-01..2016-05-24")
    settlements, payments = known["demand_response/settlements"], known["demand_response/payments"]
    lake.write(
        settlements, rows_of(settlements, 2, event_id="EV-1", revision=[1, 2], total_amount=[Decimal("3.48"), Decimal("4.44")]), "EV-1"
    )
    amounts = [Decimal("2.40"), Decimal("1.08"), Decimal("0.96")]
    lake.write(
        payments, rows_of(payments, 3, event_id="EV-1", revision=[1, 1, 2], participant_id=["P1", "P2", "P2"], amount=amounts), "EV-1"
    )


def check_rows() -> pd.DataFrame:
    return rows_of(CHECK_RESULTS, 2, table_key=["metering/readings", "reporting/payments"], severity="error")


@pytest.fixture
def seeded(tmp_path) -> Lake:
    lake = Lake(tmp_path / "state" / "lake")
    seed(lake)
    assert {str(table) for table in source_tables()} > {"metering/meter_days"}
    return lake

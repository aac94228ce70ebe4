"""The event run and the draft run as Dagster runs them, on a small site."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal

import dagster as dg
import pandas as pd
import pytest

from grid_assets.demand_response import assets, checks, sensors
from grid_assets.demand_response.events import DemandResponseFileError, ended_events, events_to_settle
from grid_assets.demand_response.tables import BASELINES, DRAFTED_EVENTS, EVENTS, PARTICIPANTS, PAYMENTS, PERFORMANCE, SETTLEMENTS
from grid_assets.forecasting.tables import DEMAND_FORECASTS
from grid_assets.foundation.dagster.partitions import partitions_of
from grid_assets.foundation.dagster.platform import Platform
from grid_assets.foundation.lake import Lake
from grid_assets.metering.tables import READINGS
from grid_assets.network.tables import BRANCH_LOADINGS, CONSTRAINT_VIOLATIONS
from grid_assets_tests.demand_response.site import EVENT_DAY, readings_of, seed, site_at

EVENT_TABLES = (EVENTS, BASELINES, PERFORMANCE, PAYMENTS, SETTLEMENTS)


class World:
    def __init__(self, folder):
        self.site = site_at(folder)
        self.lake = Lake(self.site.lake_root)
        self.instance = dg.DagsterInstance.ephemeral()
        loaded = dg.load_definitions_from_modules([assets, checks, sensors])
        violations = dg.AssetSpec(CONSTRAINT_VIOLATIONS.key, metadata={"partition": "site_day"})

        @dg.multi_asset(specs=[violations])
        def study(context):
            return dg.MaterializeResult(asset_key=CONSTRAINT_VIOLATIONS.key)

        both = dg.Definitions.merge(loaded, dg.Definitions(assets=[study]))
        placed = both.map_asset_specs(
            func=lambda spec: (
                spec.replace_attributes(partitions_def=made)
                if (made := partitions_of(spec.metadata.get("partition", "none"), self.site))
                else spec
            )
        )
        self.platform = Platform(site_file=str(folder / "site.toml"))
        jobs = [
            self.job("registers", PARTICIPANTS),
            self.job("event", *EVENT_TABLES),
            self.job("constraint_event", DRAFTED_EVENTS),
            self.job("study", CONSTRAINT_VIOLATIONS),
        ]
        self.definitions = dg.Definitions.merge(placed, dg.Definitions(jobs=jobs, resources={"platform": self.platform}))

    @staticmethod
    def job(name, *tables):
        return dg.define_asset_job(name, selection=dg.AssetSelection.assets(*(table.key for table in tables)))

    def run(self, job, key=None, dynamic=None, raises=True):
        if dynamic:
            self.instance.add_dynamic_partitions(dynamic, [key])
        return self.definitions.resolve_job_def(job).execute_in_process(instance=self.instance, partition_key=key, raise_on_error=raises)


@pytest.fixture
def world(tmp_path, monkeypatch):
    made = World(tmp_path)
    seed(made.site, made.lake)
    assert made.run("registers").success
    return made


def test_an_event_is_measured_settled_and_reported(world):
    run = world.run("event", "EV-1", "dr_events")
    assert all(check.passed for check in run.get_asset_check_evaluations())
    rows = world.lake.read(PERFORMANCE, "EV-1").set_index("participant_id")
    assert list(rows.index) == ["P1", "P2", "P3"]  # P4 is in the other programme
    assert dict(rows["delivered_kwh"]) == {"P1": 16.0, "P2": 9.6, "P3": 4.0}  # power given up times two hours
    assert list(rows["tier"]) == ["full", "partial", "non_compliant"]
    payments = world.lake.read(PAYMENTS, "EV-1").set_index("participant_id")
    assert dict(payments["amount"]) == {"P1": Decimal("2.40"), "P2": Decimal("1.08"), "P3": Decimal("0.00")}  # 16 x 0.15; 9.6 x 0.15 x 0.75
    settlement = world.lake.read(SETTLEMENTS, "EV-1").iloc[0]
    assert (settlement["total_amount"], settlement["outcome"]) == (Decimal("3.48"), "succeeded")
    assert settlement["achievement_pct"] == pytest.approx(100 * 29.6 / 32)
    days = world.lake.read(BASELINES, "EV-1")["baseline_days"].iloc[0].split()
    assert "2016-05-19" not in days  # the other event's day
    assert "2016-05-16" not in days  # Whit Monday
    page = (world.site.artefacts / "settlements" / "EV-1.html").read_text()
    assert "3.48 EUR" in page
    assert "Cold store" in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)  # nothing to load from elsewhere
    materialised = next(e for e in run.asset_materializations_for_node("ledger") if e.asset_key.path[-1] == "settlements")
    assert materialised.metadata["settlement_report"].value.endswith("/settlements/EV-1.html")


def test_a_second_run_changes_nothing_and_late_readings_post_the_difference(world):
    world.run("event", "EV-1", "dr_events")
    before = {str(table): world.lake.pointer(table, "EV-1") for table in EVENT_TABLES}
    world.run("event", "EV-1")
    assert {str(table): world.lake.pointer(table, "EV-1") for table in EVENT_TABLES} == before
    begin = datetime.fromisoformat("2016-05-24T15:00:00+00:00")
    late = readings_of(world.site, EVENT_DAY, (begin, begin + timedelta(hours=2)))
    inside = (late["start_utc"] >= begin) & (late["start_utc"] < begin + timedelta(hours=2)) & (late["meter_id"] == "M2")
    late.loc[inside, "energy_kwh"] -= 0.5  # 2 kW more given up: 13.6 of 16 kWh reaches the full tier
    world.lake.write(READINGS, late, EVENT_DAY)
    run = world.run("event", "EV-1")
    assert all(check.passed for check in run.get_asset_check_evaluations())
    payments = world.lake.read(PAYMENTS, "EV-1")
    added = payments[payments["revision"] == 2]
    assert list(added["participant_id"]) == ["P2"]
    assert added["amount"].iloc[0] == Decimal("0.96")  # 13.6 x 0.15 = 2.04, 1.08 of it posted before
    assert len(payments[payments["revision"] == 1]) == 3
    versions = payments.groupby("revision")["readings_version"].unique()
    assert versions[2].tolist() == world.lake.read(BASELINES, "EV-1")["readings_version"].unique().tolist()
    assert versions[2].tolist() == world.lake.read(PERFORMANCE, "EV-1")["readings_version"].unique().tolist()
    assert len(versions[1]) == 1
    assert versions[1][0] not in versions[2]


def test_low_coverage_blocks_one_payment_and_is_shown(world):
    begin = datetime.fromisoformat("2016-05-24T15:00:00+00:00")
    poor = readings_of(world.site, EVENT_DAY, (begin, begin + timedelta(hours=2)))
    hit = (poor["meter_id"] == "M1") & (poor["start_utc"] >= begin) & (poor["start_utc"] < begin + timedelta(hours=1))
    world.lake.write(
        READINGS, poor.assign(quality=poor["quality"].mask(hit, "estimated"), method=poor["method"].mask(hit, "like_days")), EVENT_DAY
    )
    run = world.run("event", "EV-1", "dr_events")
    assert run.success
    coverage = next(c for c in run.get_asset_check_evaluations() if c.check_name == "coverage")
    assert not coverage.passed
    assert coverage.severity == dg.AssetCheckSeverity.WARN
    row = world.lake.read(PERFORMANCE, "EV-1").set_index("participant_id").loc["P1"]
    assert (row["tier"], row["payable"], row["coverage_pct"]) == ("unverified", False, 80.0)
    assert world.lake.read(PAYMENTS, "EV-1")["amount"].tolist() == [Decimal("0.00"), Decimal("1.08"), Decimal("0.00")]
    assert "LOW_COVERAGE: 80.0 % measured" in (world.site.artefacts / "settlements" / "EV-1.html").read_text()


def test_an_event_from_before_the_history_is_unverified_until_its_readings_come(tmp_path, monkeypatch):
    made = World(tmp_path)
    seed(made.site, made.lake, first=date(2016, 5, 25))  # registers only: no readings of the event or before
    assert made.run("registers").success
    run = made.run("event", "EV-1", "dr_events")
    assert run.success
    failed = {check.check_name: check for check in run.get_asset_check_evaluations() if not check.passed}
    assert set(failed) == {"coverage"}
    assert failed["coverage"].severity == dg.AssetCheckSeverity.WARN
    settlement = made.lake.read(SETTLEMENTS, "EV-1").iloc[0]
    assert (settlement["outcome"], settlement["total_amount"], settlement["participants_unverified"]) == ("unverified", 0, 3)
    assert pd.isna(settlement["achievement_pct"])
    assert "P1: INSUFFICIENT_BASELINE_DAYS: only 0 like days are complete" in settlement["reason"]
    assert "Nobody could be measured" in (made.site.artefacts / "settlements" / "EV-1.html").read_text()
    assert due(made) == ["EV-0"]  # settled as unverified: not run again before anything changes
    seed(made.site, made.lake)
    assert due(made) == ["EV-0", "EV-1"]
    assert made.run("event", "EV-1").success
    rows = made.lake.read(SETTLEMENTS, "EV-1").sort_values("revision")
    assert rows["outcome"].tolist() == ["unverified", "succeeded"]
    assert rows["posted_amount"].tolist() == [0, Decimal("3.48")]
    assert rows["reason"].isna().tolist() == [False, True]


def due(world, day=EVENT_DAY):
    return events_to_settle(world.site, day, world.lake, READINGS)


def test_an_event_is_due_until_settled_and_again_when_an_input_of_its_money_changes(world):
    assert due(world, date(2016, 5, 18)) == []
    assert due(world) == ["EV-0", "EV-1"]
    for event in ("EV-0", "EV-1"):
        world.run("event", event, "dr_events")
    assert due(world) == []
    folder = world.site.demand_response.folder
    good = (folder / "events.csv").read_text()
    (folder / "events.csv").write_text(good.replace("17:00:00Z,16,2016-05-24", "17:00:00Z,18,2016-05-24"))
    assert due(world) == ["EV-1"]  # another target
    (folder / "events.csv").write_text(good + "EV-2,peak,2016-05-20T15:00:00Z,2016-05-20T17:00:00Z,9,2016-05-20T08:00:00Z,new\n")
    assert due(world) == ["EV-2", "EV-1"]  # a new event, whose day was a like day of EV-1
    (folder / "events.csv").write_text(good)
    (folder / "responses.csv").write_text("event_id,participant_id,response\nEV-1,P1,optOut\n")
    assert due(world) == ["EV-1"]
    (folder / "responses.csv").unlink()
    world.lake.write(READINGS, readings_of(world.site, date(2016, 6, 1)), date(2016, 6, 1))  # after both: concerns neither
    assert due(world) == []
    people = world.lake.read(PARTICIPANTS)
    world.lake.write(PARTICIPANTS, people.assign(committed_kw=people["committed_kw"] + (people["participant_id"] == "P4")))
    assert due(world) == []  # P4 is in the other programme
    world.lake.write(PARTICIPANTS, people.assign(committed_kw=people["committed_kw"] + 1))
    assert due(world) == ["EV-0", "EV-1"]


def test_a_change_that_moves_no_money_is_run_once_and_posts_nothing(world):
    world.run("event", "EV-1", "dr_events")
    poor = readings_of(world.site, date(2016, 5, 10))
    poor.loc[0, "energy_kwh"] += 1.0  # at midnight of a like day: far from the event's slots
    world.lake.write(READINGS, poor, date(2016, 5, 10))
    assert "EV-1" in due(world)
    before = world.lake.read(PAYMENTS, "EV-1")
    run = world.run("event", "EV-1")
    assert all(check.passed for check in run.get_asset_check_evaluations())
    assert "EV-1" not in due(world)
    pd.testing.assert_frame_equal(world.lake.read(PAYMENTS, "EV-1"), before)
    assert len(world.lake.read(SETTLEMENTS, "EV-1")) == 1


def test_readings_that_arrive_while_an_event_runs_make_it_due_again(world, monkeypatch):
    from grid_assets.demand_response import baselines

    honest, late = baselines.baselines, readings_of(world.site, EVENT_DAY)

    def with_a_late_file(*given):
        world.lake.write(READINGS, late, EVENT_DAY)
        return honest(*given)

    monkeypatch.setattr(baselines, "baselines", with_a_late_file)
    world.run("event", "EV-1", "dr_events")
    assert world.lake.read(SETTLEMENTS, "EV-1")["outcome"].tolist() == ["succeeded"]  # from the readings it began with
    monkeypatch.undo()
    assert "EV-1" in due(world)


def test_faulty_event_files_are_one_kind_of_error_and_an_event_without_terms_is_left_to_its_run(world):
    folder = world.site.demand_response.folder
    world.run("event", "EV-1", "dr_events")
    good = (folder / "participants.csv").read_text()
    (folder / "participants.csv").write_text(good.replace("P2,peak,M2", "P2,peak,M1"))
    world.run("registers")
    assert "EV-1" in due(world)  # two share a meter: the event's own run says so
    (folder / "events.csv").write_text((folder / "events.csv").read_text().replace("2016-05-24T17:00:00Z", "late"))
    with pytest.raises(DemandResponseFileError, match="row 3: end_utc = 'late'"):
        due(world)


def test_opt_out_and_cancellation_pay_nothing(world):
    folder = world.site.demand_response.folder
    (folder / "responses.csv").write_text("event_id,participant_id,response\nEV-1,P1,optIn\nEV-1,P1,optOut\n")
    world.run("event", "EV-1", "dr_events")
    assert world.lake.read(PAYMENTS, "EV-1").set_index("participant_id").loc["P1", ["tier", "amount"]].tolist() == [
        "opt_out",
        Decimal("0.00"),
    ]
    text = (
        (folder / "events.csv")
        .read_text()
        .replace("label\n", "label,cancelled_utc\n")
        .replace("earlier", "earlier,")
        .replace("evening peak", "evening peak,2016-05-24T12:00:00Z")
    )
    (folder / "events.csv").write_text(text)
    world.run("event", "EV-1")
    settlements = world.lake.read(SETTLEMENTS, "EV-1")
    assert settlements["outcome"].tolist()[-1] == "cancelled"
    assert settlements["total_amount"].tolist()[-1] == 0


def test_an_altered_ledger_blocks(world):
    world.run("event", "EV-1", "dr_events")
    forged = world.lake.read(PAYMENTS, "EV-1")
    forged.loc[0, "account"] = "ACC-EVIL"
    world.lake.write(PAYMENTS, forged, "EV-1")
    run = world.run("event", "EV-1", raises=False)
    failed = {check.check_name for check in run.get_asset_check_evaluations() if not check.passed}
    assert "append_only" in failed
    assert world.platform.check_results.read(["EV-1"]).set_index("check_name").loc["append_only", "passed"] == False  # noqa: E712


def test_ended_events(world):
    assert ended_events(world.site, date(2016, 5, 18)) == []
    assert ended_events(world.site, date(2016, 5, 23)) == ["EV-0"]
    assert ended_events(world.site, date(2016, 5, 24)) == ["EV-0", "EV-1"]


# -- a constraint violation becomes a draft


def violations(day=date(2016, 5, 22), kind="overload", feeder="F1", value=125.0, limit=100.0, hours=(16, 17)):
    starts = [pd.Timestamp(day + timedelta(days=2), tz="UTC") + pd.Timedelta(hours=h, minutes=15 * q) for h in hours for q in range(4)]
    return pd.DataFrame(
        {"element_id": "L1", "element_kind": "line", "kind": kind, "scenario": "expected", "start_utc": starts, "value": value, "limit": limit,
         "severity": "critical", "customers_affected": 3, "feeder_id": feeder, "probability": None}
    )  # fmt: skip


def study(world, frame, day=date(2016, 5, 22)):
    world.lake.write(CONSTRAINT_VIOLATIONS, frame, day)
    flows = (
        frame[["element_id", "start_utc", "scenario"]]
        .rename(columns={"element_id": "branch_id"})
        .assign(kind="line", loading_pct=frame["value"], p_mw=0.05, i_ka=0.1)
    )
    world.lake.write(BRANCH_LOADINGS, flows, day)
    quantiles = {name: 100.0 for name in DEMAND_FORECASTS.columns if name.startswith("p") and name.endswith("_kw")}
    expected = pd.DataFrame({"node_id": "F1", "start_utc": frame["start_utc"], "mean_kw": 100.0}).drop_duplicates("start_utc")
    expected = expected.assign(
        issued_utc=world.site.clock.issue_time(day), model="weekly_naive", model_version="v", readings_version="r", **quantiles
    )
    world.lake.write(DEMAND_FORECASTS, expected, day)
    world.run("study", day.isoformat())


def tick(world, cursor=None):
    context = dg.build_sensor_context(instance=world.instance, cursor=cursor, resources={"platform": world.platform})
    return sensors.constraint_violation_sensor(context)


def test_the_sensor_asks_once_for_a_draft_of_each_violation(world):
    study(world, violations())
    first = tick(world)
    assert [(one.partition_key, one.run_key.split(":")[0]) for one in first.run_requests] == [("2016-05-22.F1.overload",) * 2]
    assert first.dynamic_partitions_requests[0].partition_keys == ["2016-05-22.F1.overload"]
    assert isinstance(tick(world, first.cursor), dg.SkipReason)  # nothing new
    study(world, violations())  # the same study again: the same run key, which Dagster runs once
    second = tick(world, first.cursor)
    assert [one.run_key for one in second.run_requests] == [one.run_key for one in first.run_requests]
    study(world, violations(value=150.0))
    third = tick(world, second.cursor)
    assert [one.run_key for one in third.run_requests] != [one.run_key for one in first.run_requests]
    study(world, violations(kind="overvoltage"))
    assert not tick(world, third.cursor).run_requests


def test_a_draft_names_window_target_and_participants(world):
    study(world, violations(hours=(16, 17, 20)))
    world.run("constraint_event", "2016-05-22.F1.overload", "constraint_events")
    rows = world.lake.read(DRAFTED_EVENTS, "2016-05-22.F1.overload")
    assert list(rows["start_utc"].dt.hour) == [16, 20]
    assert list(rows["end_utc"].dt.hour) == [18, 21]
    assert rows["target_kw"].tolist() == pytest.approx([10.0, 10.0])  # 50 kW at 125 %: a fifth of it is above the limit
    assert rows["participants"].iloc[0] == "P1 P2"  # both on F1: 8 kW are not enough
    assert (rows["committed_kw"].iloc[0], rows["shortfall_kw"].iloc[0], rows["state"].iloc[0]) == (16.0, 0.0, "draft")
    assert rows["latest_notice_utc"].iloc[0] == rows["start_utc"].iloc[0] - pd.Timedelta(hours=1)
    study(world, violations(kind="overvoltage"))
    world.run("constraint_event", "2016-05-22.F1.overload")
    assert world.lake.read(DRAFTED_EVENTS, "2016-05-22.F1.overload").empty  # the violation is gone, and the draft with it


def test_an_undervoltage_is_relieved_by_its_share_of_the_load(world):
    study(world, violations(kind="undervoltage", value=0.94, limit=0.95))
    world.run("constraint_event", "2016-05-22.F1.undervoltage", "constraint_events")
    row = world.lake.read(DRAFTED_EVENTS, "2016-05-22.F1.undervoltage").iloc[0]
    assert row["target_kw"] == pytest.approx(100 / 6)  # 0.01 of a drop of 0.06
    assert row["shortfall_kw"] == pytest.approx(100 / 6 - 16)

"""One day of one site, run in this process: back-fill, day run, events, study, publishing. What `grid-assets daily` does."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from time import perf_counter
from uuid import uuid4

import dagster as dg

from grid_assets import jobs
from grid_assets.definitions import build_definitions, public_tables
from grid_assets.foundation.calendar import runs_of_days
from grid_assets.foundation.dagster.doors import RANGE_END, RANGE_START
from grid_assets.foundation.dagster.idle_connections import IdleConnections
from grid_assets.foundation.lake import Lake, LakeError
from grid_assets.foundation.site import Site

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@dataclass(frozen=True)
class Materialised:
    asset: str
    rows: int
    seconds: float
    picture: bool


@dataclass(frozen=True)
class Checked:
    asset: str
    check: str
    passed: bool
    blocking_severity: bool
    said: str


@dataclass
class StepReport:
    """What one run of one job did."""

    title: str
    job: str
    run_id: str
    seconds: float = 0.0
    succeeded: bool = False
    materialised: list[Materialised] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Watch:
    """What a caller may follow a run by. All are called in the run's own thread."""

    begins: Callable[[str, int], None] = lambda title, assets: None
    asset_begins: Callable[[str], None] = lambda name: None
    asset_done: Callable[[str, int], None] = lambda name, rows: None
    ends: Callable[[StepReport], None] = lambda report: None


class SiteRuns:
    """Runs the jobs of a site against its own Dagster instance."""

    def __init__(self, site_file: Path, site: Site, instance: dg.DagsterInstance, watch: Watch | None = None):
        self.site, self.instance, self.watch = site, instance, watch or Watch()
        self.definitions = build_definitions(site_file, site)
        logging.getLogger("dagster").setLevel(logging.CRITICAL)

    def day(self, day: date) -> list[StepReport]:
        """Everything that belongs to the run of ``day``. A failed back-fill, landing or day run ends it; a failed event or
        study does not keep the rest from being published.
        """
        reports: list[StepReport] = []
        for needed in (self.history, self.landing, self.switching, self.day_run):
            for report in self._reported(needed, day):
                reports.append(report)
                if not report.succeeded:
                    return reports
        for separate in (self.events, self.study, self.publish):
            reports += self._reported(separate, day)
        return reports

    def _reported(self, steps: Callable[[date], Iterator[StepReport]], day: date) -> Iterator[StepReport]:
        """The reports of some steps; what goes wrong before a run begins, such as a register that cannot be read, is one too."""
        try:
            yield from steps(day)
        except (ValueError, LakeError) as error:
            report = StepReport(steps.__name__, "", "", failures=[f"{type(error).__name__}: {error}"])
            self.watch.ends(report)
            yield report

    def history(self, day: date) -> Iterator[StepReport]:
        """Registers, and the days before ``day`` that lack anything that a back-fill makes."""
        yield self.run("registers", jobs.REGISTERS)
        lake = Lake(self.site.lake_root)
        tables = [table for table in public_tables(self.site) if jobs.in_history(table)]
        have = set.intersection(*(set(lake.partitions(table)) for table in tables))
        wanted = self.site.clock.history(day, self.site.calendar.history_days)
        for first, last in runs_of_days([one for one in wanted if one.isoformat() not in have]):
            yield self.run(f"history {first} to {last}", jobs.HISTORY, days=(first, last))

    def landing(self, day: date) -> Iterator[StepReport]:
        """The morning's files first: the days that late rows of theirs touch are mended before anything learns from them."""
        from grid_assets.metering.staleness import stale_days

        yield self.run(f"landing of {day}", jobs.HISTORY, partition=day.isoformat(), assets=self._metering("arrival_day"))
        earliest = min([*self.site.clock.history(day, self.site.calendar.history_days), day])
        made: set[date] = set()
        for _ in range(2):  # a day made again may close with other register reads, which open the day after it
            stale = [one for one in stale_days(Lake(self.site.lake_root), since=earliest, site=self.site) if one < day and one not in made]
            for first, last in runs_of_days(stale):
                yield self.run(f"late data of {first} to {last}", jobs.HISTORY, days=(first, last), assets=self._metering("site_day"))
            made |= set(stale)

    def _metering(self, partition: str) -> list[str]:
        """The metering assets of landing (arrival_day), or all that follow it (site_day)."""
        assets = {key.to_user_string() for key in self.definitions.resolve_job_def(jobs.HISTORY).asset_layer.executable_asset_keys}
        tables = [table for table in public_tables(self.site) if table.area == "metering" and table.partition == partition]
        return [str(table) for table in tables if str(table) in assets]

    def switching(self, day: date) -> Iterator[StepReport]:
        """Earlier days' network studies whose switching states are no longer those that they were made in."""
        from grid_assets.network.sensors import STUDY_TABLES
        from grid_assets.network.staleness import studies_to_make_again

        for one in studies_to_make_again(self.site, Lake(self.site.lake_root), before=day):
            yield self.run(f"network of {one}", jobs.DAY, partition=one.isoformat(), assets=[str(table) for table in STUDY_TABLES])

    def day_run(self, day: date) -> Iterator[StepReport]:
        yield self.run(f"day {day}", jobs.DAY, partition=day.isoformat())
        if scenarios := jobs.scenarios_of(self.site, day):
            self.instance.add_dynamic_partitions("scenarios", scenarios)  # to be launched by whom they interest

    def scenario(self, key: str) -> StepReport:
        """One scenario of a day that was run."""
        self.instance.add_dynamic_partitions("scenarios", [key])
        return self.run(f"scenario {key}", jobs.SCENARIO, partition=key)

    def network_range(self, key: str) -> StepReport:
        """The flows of a range of past days."""
        self.instance.add_dynamic_partitions("network_ranges", [key])
        return self.run(f"flows {key}", jobs.NETWORK_RANGE, partition=key)

    def events(self, day: date) -> Iterator[StepReport]:
        """One run per demand-response event that ended by ``day`` and is not settled, or whose readings have changed since."""
        for event in jobs.events_to_settle(self.site, day):
            self.instance.add_dynamic_partitions("dr_events", [event])
            yield self.run(f"event {event}", jobs.EVENT, partition=event)

    def study(self, day: date) -> Iterator[StepReport]:
        study = jobs.study_of(self.site, day)
        if study:
            self.instance.add_dynamic_partitions("studies", [study])
            yield self.run(f"price study {study}", jobs.STUDY, partition=study)

    def publish(self, day: date) -> Iterator[StepReport]:
        yield self.run("publishing", jobs.PUBLISH)

    def run(
        self,
        title: str,
        job_name: str,
        *,
        partition: str | None = None,
        days: tuple[date, date] | None = None,
        assets: Sequence[str] | None = None,
    ) -> StepReport:
        """Runs one job in this process, for a partition or a range of days, or only some of its assets."""
        job = self.definitions.resolve_job_def(job_name)
        chosen = [dg.AssetKey.from_user_string(one) for one in assets] if assets else None
        tags = {RANGE_START: days[0].isoformat(), RANGE_END: days[1].isoformat()} if days else {}
        report = StepReport(title, job_name, str(uuid4()))
        self.watch.begins(title, len(chosen or job.asset_layer.executable_asset_keys))
        began: dict[str, float] = {}
        started = perf_counter()
        with IdleConnections(self.site.dagster_home) as history:
            self.instance.add_event_listener(report.run_id, lambda entry: history.keep_run(report.run_id))
            self.instance.add_event_listener(report.run_id, lambda entry: self._follow(entry, report, began))
            result = job.execute_in_process(
                instance=self.instance, run_id=report.run_id, partition_key=partition, tags=tags, asset_selection=chosen,
                run_config=QUIET, raise_on_error=False,
            )  # fmt: skip
        report.seconds = perf_counter() - started
        report.succeeded = result.success
        self.watch.ends(report)
        return report

    def _follow(self, entry, report: StepReport, began: dict[str, float]) -> None:
        event = entry.dagster_event
        if event is None:
            return
        step = event.step_key or ""
        if event.is_step_start:
            began[step] = perf_counter()
            self.watch.asset_begins(step)
        elif event.is_step_materialization:
            self._note_materialisation(event, report, perf_counter() - began.get(step, perf_counter()))
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            found = event.asset_check_evaluation_data
            severe = found.severity == dg.AssetCheckSeverity.ERROR
            report.checked.append(
                Checked(found.asset_key.to_user_string(), found.check_name, found.passed, severe, found.description or "")
            )
        elif event.is_step_failure:
            error = event.step_failure_data.error
            root = error
            while root is not None and root.cause is not None:
                root = root.cause
            report.failures.append(f"{step.replace('__', '/')}: {_without_module(root.message) if root else 'failed'}")
        elif event.is_job_failure and event.job_failure_data and event.job_failure_data.error and not report.failures:
            report.failures.append(_without_module(event.job_failure_data.error.message))

    def _note_materialisation(self, event, report: StepReport, seconds: float) -> None:
        made = event.step_materialization_data.materialization
        asset = made.asset_key.to_user_string()
        rows = made.metadata.get("dagster/row_count")
        noted = Materialised(asset, int(rows.value) if rows else 0, seconds, "picture" in made.metadata)
        # A ranged run says one materialisation a partition, all with the same metadata: one line an asset is enough.
        if not any(one.asset == asset for one in report.materialised):
            report.materialised.append(noted)
            self.watch.asset_done(asset, noted.rows)


def _without_module(message: str) -> str:
    """``grid_assets.metering.arrival.arrivals.ArrivalError: said`` -> ``ArrivalError: said``: what people need of an error."""
    return re.sub(r"^(?:\w+\.)+(\w+: )", r"\1", message.strip())

"""The command line: grid-assets daily | ui | scenario | flows | backtest | correct | alerts | bench | contracts."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from grid_assets.definitions import PROJECT, SITES, areas_of, site_file_named
from grid_assets.foundation.calendar import CalendarError
from grid_assets.foundation.site import Site, SiteError, load_site

if TYPE_CHECKING:
    from grid_assets.daily import StepReport

BENCHMARKS = PROJECT / "benchmarks"

site_option = click.option("--site", "site_name", default=lambda: os.environ.get("GRID_ASSETS_SITE", "demo"), show_default="demo", help="A shipped site (demo, plymouth, edrp) or the path of a site file.")  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="grid_assets")
def main() -> None:
    """The analytics of a power grid: readings, forecasts, flows, schedules, prices, settlements."""


@main.command()
@site_option
@click.option("--day", "day_text", help="The day to run, YYYY-MM-DD; the site's default day, or yesterday on a live site.")
def daily(site_name: str, day_text: str | None) -> None:
    """Run one day: from raw meter files to published tables."""
    from grid_assets.daily import SiteRuns
    from grid_assets.instance import open_instance
    from grid_assets.jobs import utc_now
    from grid_assets.screen import DailyScreen

    console = Console()
    site_file, site = _open_site(site_name)
    try:
        day = site.clock.day(day_text) if day_text else site.default_day(utc_now())
    except CalendarError as error:
        raise click.ClickException(str(error)) from error
    screen = DailyScreen(console, site, day, site_name)
    screen.opening()
    _prepare(site, console)
    with open_instance(site) as instance:
        runs = SiteRuns(site_file, site, instance, screen.watch())
        with screen:
            reports = runs.day(day)
    screen.closing(reports)
    if not all(report.succeeded for report in reports):
        sys.exit(1)


@main.command()
@site_option
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI, on loopback.")
@click.option("--read-only", is_flag=True, help="For viewers: nothing can be launched.")
def ui(site_name: str, port: int, read_only: bool) -> None:
    """Open the site's Dagster UI on loopback, and serve its artefacts beside it."""
    from grid_assets.artefact_server import ArtefactPortTaken, serve_artefacts
    from grid_assets.instance import prepare_home

    console = Console()
    site_file, site = _open_site(site_name)
    _prepare(site, console)
    environment = {**os.environ, "DAGSTER_HOME": str(prepare_home(site)), "GRID_ASSETS_SITE": str(site_file)}
    program = ["dagster_webserver", "--read-only"] if read_only else ["dagster", "dev"]
    command = [sys.executable, "-m", *program, "-h", "127.0.0.1", "-p", str(port), "-w", str(PROJECT / "workspace.yaml")]
    try:
        with serve_artefacts(site.artefacts, site.artefact_port) as address:
            console.print(f"[bold]{site.title}[/]")
            console.print(f"the UI at http://127.0.0.1:{port}, artefacts at {address}; Ctrl-C ends both")
            sys.exit(_run_until_told(command, environment))
    except ArtefactPortTaken as error:
        raise click.ClickException(str(error)) from error


def _run_until_told(command: list[str], environment: dict[str, str]) -> int:
    """Runs a child until it ends, or until Ctrl-C or SIGTERM; then ends the child and everything it started."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would hand down an ignored one
    child = subprocess.Popen(command, env=environment, cwd=PROJECT, start_new_session=True)  # noqa: S603 - our own command

    def end(*_: object) -> None:
        os.killpg(child.pid, signal.SIGTERM)

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)
    code = child.wait()
    with suppress(ProcessLookupError):  # what outlives its parent
        os.killpg(child.pid, signal.SIGKILL)
    return 0 if code in (0, -signal.SIGTERM) else code


@main.command()
@site_option
@click.argument("name", required=False)
@click.option("--day", "day_text", help="The run whose study day is looked at, YYYY-MM-DD; as of `daily` when none is named.")
def scenario(site_name: str, name: str | None, day_text: str | None) -> None:
    """Study the network under scenario NAME, a file of the site's folder of scenarios; without a name, list them.

    The day must have been run by `grid-assets daily` before.
    """
    from grid_assets.daily import SiteRuns
    from grid_assets.instance import open_instance
    from grid_assets.jobs import utc_now
    from grid_assets.network.scenario_files import ScenarioError, read_scenario, scenario_key, scenarios_in
    from grid_assets.screen import scenario_table

    console = Console()
    site_file, site = _open_site(site_name)
    folder = site.network.scenarios if site.network else None
    if folder is None:
        raise click.ClickException(f"site {site.name} has no folder of scenarios; name one as scenarios in its section [network]")
    try:
        if name is None:
            for known in scenarios_in(folder):
                console.print(f"[bold]{known}[/]  {read_scenario(folder, known).title}")
            return
        read_scenario(folder, name)
        day = site.clock.day(day_text) if day_text else site.default_day(utc_now())
        key = scenario_key(day, name)
    except (CalendarError, ScenarioError) as error:
        raise click.ClickException(str(error)) from error
    with open_instance(site) as instance:
        done = SiteRuns(site_file, site, instance).scenario(key)
    _fail_unless_succeeded(done, console)
    console.print(scenario_table(site, key))


def _fail_unless_succeeded(done: StepReport, console: Console) -> None:
    for said in done.failures:
        console.print(f"[red]failed[/] {said}")
    if not done.succeeded:
        sys.exit(1)


@main.command()
@site_option
@click.argument("first_day")
@click.argument("last_day")
def flows(site_name: str, first_day: str, last_day: str) -> None:
    """Study the network over the days FIRST_DAY to LAST_DAY, a year at most, with the loads that were measured.

    The days must have been run by `grid-assets daily` before.
    """
    from grid_assets.daily import SiteRuns
    from grid_assets.instance import open_instance
    from grid_assets.network.range_study import RangeError, range_key
    from grid_assets.screen import range_table

    console = Console()
    site_file, site = _open_site(site_name)
    try:
        key = range_key(site.clock.day(first_day), site.clock.day(last_day))
    except (CalendarError, RangeError) as error:
        raise click.ClickException(str(error)) from error
    with open_instance(site) as instance:
        done = SiteRuns(site_file, site, instance).network_range(key)
    _fail_unless_succeeded(done, console)
    console.print(range_table(site, key))


@main.command()
@site_option
@click.argument("meter")
@click.argument("start")
@click.argument("end")
@click.option("--replace", "energy_kwh", type=float, metavar="KWH", help="Publish this energy in each interval.")
@click.option("--reject", is_flag=True, help="Take the arrived values for wrong: they are estimated.")
@click.option("--accept", is_flag=True, help="Take the arrived values for right, whatever rules they fail.")
@click.option("--author", required=True, help="Who corrects.")
@click.option("--reason", required=True, help="Why.")
def correct(
    site_name: str, meter: str, start: str, end: str, energy_kwh: float | None, reject: bool, accept: bool, author: str, reason: str
) -> None:
    """Correct the readings of METER from START to END (2016-05-24T15:00, on the site's clock where no offset is given).

    The correction is kept and holds for every later run; the days that it touches are made again by the next one.
    """
    from grid_assets.foundation.lake import Lake
    from grid_assets.foundation.registers import RegisterError
    from grid_assets.jobs import utc_now
    from grid_assets.metering.entries.corrections import CorrectionError, correction_of, enter_for_site

    chosen = [name for name, given in (("replace", energy_kwh is not None), ("reject", reject), ("accept", accept)) if given]
    if len(chosen) != 1:
        raise click.UsageError("give one of --replace KWH, --reject and --accept")
    _, site = _open_site(site_name)
    told = {
        "meter_id": meter,
        "start": start,
        "end": end,
        "action": chosen[0],
        "energy_kwh": energy_kwh,
        "author": author,
        "reason": reason,
    }
    try:
        made = correction_of(site.clock, now=utc_now(), **told)
        days = enter_for_site(site, Lake(site.lake_root), made)
    except (CorrectionError, RegisterError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{made.correction_id}: {chosen[0]} {meter} from {made.start_utc:%Y-%m-%dT%H:%MZ} to {made.end_utc:%Y-%m-%dT%H:%MZ}")
    click.echo(f"stale until they are made again: {', '.join(day.isoformat() for day in days)}; the next `grid-assets daily` does so")


@main.command()
@site_option
@click.option("--acknowledge", "alert_id", metavar="ALERT_ID", help="Take notice of this alert; needs --by.")
@click.option("--by", "who", help="Who takes notice.")
@click.option("--note", help="What there is to say.")
@click.option("--all", "with_closed", is_flag=True, help="List closed and withdrawn alerts too.")
def alerts(site_name: str, alert_id: str | None, who: str | None, note: str | None, with_closed: bool) -> None:
    """List the site's open alerts, or acknowledge one."""
    from grid_assets.foundation.alerts import AlertError, AlertStore
    from grid_assets.jobs import utc_now

    _, site = _open_site(site_name)
    if not (site.state / "ledger.sqlite").exists():
        raise click.ClickException(f"{site.state}: nothing was run here yet; run grid-assets daily first")
    store = AlertStore(site.ledger_url)
    if alert_id:
        try:
            store.acknowledge(alert_id, who or "", utc_now(), note)
        except AlertError as error:
            raise click.ClickException(str(error)) from error
        click.echo(f"{alert_id}: acknowledged by {who}")
        return
    found = store.read(only_open=not with_closed)
    for one in found.itertuples():
        seen = f"acknowledged by {one.acknowledged_by}" if one.acknowledged_by else "not acknowledged"
        click.echo(f"{one.alert_id}  {one.severity}, {seen}\n    {one.evidence}")
    click.echo(f"{len(found)} alerts" if with_closed else f"{len(found)} open alerts")


@main.command()
@site_option
@click.option("--from", "first_text", required=True, metavar="DAY", help="First day that is forecast again, YYYY-MM-DD.")
@click.option("--to", "last_text", required=True, metavar="DAY", help="The last one.")
@click.option(
    "--csv",
    "csv_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also write each interval's forecast and actual to this file.",
)
def backtest(site_name: str, first_text: str, last_text: str, csv_file: Path | None) -> None:
    """Forecast past days again, each from what was known at its issue time, and compare with what came.

    The readings and weather are those of the site's lake: run `grid-assets daily` before. A map of the errors goes to the artefacts.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from grid_assets.figures.backtests import error_map
    from grid_assets.forecasting.backtest import NothingToTest, drift_alarms, largest_node, summary, worst_days
    from grid_assets.foundation.calendar import days_between
    from grid_assets.jobs import backtest_of_lake
    from grid_assets.screen import backtest_tables

    console = Console()
    _, site = _open_site(site_name)
    try:
        first, last = (site.clock.day(text) for text in (first_text, last_text))
        if last < first:
            raise click.UsageError(f"--to {last} is before --from {first}")
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console) as bar:
            days = days_between(first, last)
            task = bar.add_task("reading the lake", total=len(days))
            found = backtest_of_lake(
                site, first, last, begins=lambda day: bar.update(task, description=f"forecasting {day} again", completed=(day - first).days)
            )
            bar.update(task, description=f"forecast {len(days)} days again", completed=len(days))
    except (CalendarError, NothingToTest) as error:
        raise click.ClickException(str(error)) from error
    node = largest_node(found)
    for table in backtest_tables(site.title, summary(found), node, worst_days(found, node)):
        console.print(table)
    for day, why in found.left_out.items():
        console.print(f"[yellow]{day}[/]: left out: {why}")
    for alarm in drift_alarms(found):
        console.print(f"[yellow]drift[/] {alarm}")
    picture = site.artefacts / f"backtest_{first}_{last}.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(error_map(found.compared, node, site.time_zone, site.title))
    console.print(f"map of the errors: {picture}")
    if csv_file:
        found.compared.to_csv(csv_file, index=False)


@main.command()
@click.argument("area", required=False)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Also write the rows to this file.")
def bench(area: str | None, json_file: Path | None) -> None:
    """Measure an area against its peers or bounds, in this run, on this machine."""
    areas = sorted(path.stem for path in BENCHMARKS.glob("*.py") if not path.stem.startswith("_"))
    if area not in areas:
        raise click.ClickException(f"expected one of: {', '.join(areas)}")
    sys.path.insert(0, str(PROJECT))
    rows = importlib.import_module(f"benchmarks.{area}").run(Console())
    from grid_assets.screen import benchmark_table

    Console().print(benchmark_table(area, rows))
    if json_file:
        json_file.write_text(json.dumps(rows, indent=1) + "\n")


@main.command()
@click.option("--check", is_flag=True, help="Change nothing; fail when the committed contracts differ.")
def contracts(check: bool) -> None:
    """Write dbt's contracts and sources from the table declarations."""
    from grid_assets.reporting import contracts as generated

    drift = generated.drift()
    if not drift:
        click.echo("The contracts match the table declarations.")
    elif check:
        raise click.ClickException("the contracts differ from the table declarations; run grid-assets contracts\n" + "\n".join(drift))
    else:
        for path in generated.write():
            click.echo(f"wrote {Path(path).relative_to(PROJECT)}")


def _open_site(name: str) -> tuple[Path, Site]:
    path = site_file_named(name)
    try:
        if not path.exists():
            shipped = ", ".join(sorted(one.stem for one in SITES.glob("*.toml")))
            raise SiteError(f"{name}: there is no such site; shipped are {shipped}; or give the path of a site file (.toml)")
        return path, load_site(path, os.environ)
    except SiteError as error:
        raise click.ClickException(str(error)) from error


def _prepare(site: Site, console: Console) -> None:
    """What must exist before Dagster loads the site: dbt's manifest, the demo's source files, the folders."""
    site.artefacts.mkdir(parents=True, exist_ok=True)
    if "reporting" in areas_of(site):
        from grid_assets.reporting.publish import ensure_manifest

        with console.status("Reading the dbt project ..."):
            ensure_manifest(PROJECT / "dbt_project")
    if site.simulation:
        from grid_assets.simulation.prepare import prepare

        with console.status("Preparing the demo's head-end files ...") as status:
            prepare(site, progress=lambda said: status.update(f"Preparing the demo's head-end files: {said}"))


if __name__ == "__main__":
    main()

"""What `grid-assets daily` and `bench` show in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import pandas as pd
from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from grid_assets.daily import StepReport, Watch
from grid_assets.foundation.site import Site
from grid_assets.jobs import DAY


class DailyScreen:
    """Progress per asset while a day runs, and a summary at its end."""

    def __init__(self, console: Console, site: Site, day: date, site_argument: str):
        self.console, self.site, self.day, self.site_argument = console, site, day, site_argument
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", justify="left"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[asset]}"),
            console=console,
        )
        self._task = None

    def __enter__(self) -> DailyScreen:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def opening(self) -> None:
        lines = [
            Text(self.site.title, style="bold"),
            Text(f"day {self.day}, study day {self.site.clock.study_day(self.day)}, {self.site.time_zone}"),
        ]
        if self.site.notice:
            lines.append(Text(self.site.notice, style="yellow"))
        self.console.print(Panel(Group(*lines), title="grid-assets daily", title_align="left", border_style="blue"))

    def watch(self) -> Watch:
        return Watch(self._begins, self._asset_begins, self._asset_done, self._ends)

    def _begins(self, title: str, assets: int) -> None:
        self._task = self._progress.add_task(title, total=assets, asset="")

    def _asset_begins(self, step: str) -> None:
        if self._task is not None:
            self._progress.update(self._task, asset=step.replace("__", "/"))

    def _asset_done(self, asset: str, rows: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, advance=1, asset=f"{asset}: {rows:,} rows")
        if not self.console.is_terminal:  # a log shows no moving bar
            self.console.print(f"{asset}: {rows:,} rows", highlight=False)

    def _ends(self, report: StepReport) -> None:
        if self._task is not None:
            total = self._progress.tasks[self._task].total
            said = "" if report.succeeded else "[red]failed"
            self._progress.update(self._task, completed=total if report.succeeded else None, asset=said)

    def closing(self, reports: Sequence[StepReport]) -> None:
        """What was materialised, checks, key figures, where to look, what to type next."""
        from grid_assets.summary import key_figures

        self.console.print(_materialised_table(reports))
        checks = list(dict.fromkeys(one for report in reports for one in report.checked))  # landing may be checked twice
        failed_checks = [one for one in checks if not one.passed]
        self.console.print(f"[bold]Checks[/]: {len(checks) - len(failed_checks)} passed, {len(failed_checks)} failed")
        for one in failed_checks:
            colour = "red" if one.blocking_severity else "yellow"
            self.console.print(
                Text(f"  {'error' if one.blocking_severity else 'warning'}  {one.asset} · {one.check}: {one.said}", style=colour)
            )
        if any(report.job == DAY and report.succeeded for report in reports):
            self.console.print(_figures_table(key_figures(self.site, self.day)))
        if not all(report.succeeded for report in reports):
            for failure in (said for report in reports for said in report.failures):
                self.console.print(Text(f"failed  {failure}", style="bold red"))
        self.console.print(self._where_to_look(reports))

    def _where_to_look(self, reports: Sequence[StepReport]) -> Panel:
        site = self.site
        seconds = sum(report.seconds for report in reports)
        chosen = "" if self.site_argument == "demo" else f" --site {self.site_argument}"
        lines = [
            f"published tables   {_short(site.warehouse_file)} (DuckDB, schema grid)",
            f"lake               {_short(site.lake_root)} (Parquet)",
            f"pages, documents   {_short(site.artefacts)}",
            f"time               {seconds:.1f} s in {len(reports)} runs",
        ]
        if all(report.succeeded for report in reports):
            title, next_command = (
                "where to look",
                f"next               [bold]uv run grid-assets ui{chosen}[/]   the same history in the Dagster UI, on loopback",
            )
        else:
            title, next_command = (
                "stopped",
                f"next               mend the cause, then [bold]uv run grid-assets daily{chosen}[/] again: what is done stays done",
            )
        return Panel("\n".join([*lines, next_command]), title=title, title_align="left", border_style="blue")


def _short(path: object) -> str:
    """A path as seen from the working directory, where it lies below it."""
    from pathlib import Path

    whole = Path(str(path))
    return str(whole.relative_to(Path.cwd())) if whole.is_relative_to(Path.cwd()) else str(path)


def _materialised_table(reports: Sequence[StepReport]) -> Table:
    table = Table(title="Materialised", title_justify="left", box=None, pad_edge=False, header_style="dim")
    table.add_column("run")
    table.add_column("asset")
    table.add_column("rows", justify="right")
    for report in reports:
        for n, one in enumerate(report.materialised):
            table.add_row(report.title if n == 0 else "", one.asset, f"{one.rows:,}")
    return table


def _figures_table(figures: Sequence[tuple[str, str]]) -> Table:
    table = Table(title="Key figures", title_justify="left", box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, value in figures:
        table.add_row(name, value)
    return table


def backtest_tables(title: str, scores: pd.DataFrame, node: str, worst: pd.DataFrame) -> list[Table]:
    """A back-test's scores per node, and the worst days of one of them."""
    return [_frame_table(f"back-test: {title}", scores), _frame_table(f"worst days of {node}", worst)]


SHORT = {
    "node_id": "node", "mape_pct": "MAPE %", "mae_kw": "MAE kW", "rmse_kw": "RMSE kW", "bias_pct": "bias %", "naive_mae_kw": "naive's kW",
    "coverage_90_pct": "in band %",
}  # fmt: skip


def _frame_table(title: str, frame: pd.DataFrame) -> Table:
    table = Table(title=title, title_justify="left")
    for name in frame:
        table.add_column(
            SHORT.get(name, name), justify="left" if frame[name].dtype == object else "right", no_wrap=name in ("node_id", "day")
        )
    for row in frame.itertuples(index=False):
        table.add_row(*("-" if value != value else f"{value:,.3g}" if isinstance(value, float) else str(value) for value in row))
    return table


def benchmark_table(area: str, rows: Sequence[dict[str, Any]]) -> Table:
    """The rows of a benchmark: name, value, unit, reference, target, met."""
    table = Table(title=f"bench {area}", title_justify="left")
    for name in ("name", "value", "unit", "reference", "target", "met"):
        table.add_column(name, justify="right" if name == "value" else "left")
    for row in rows:
        met = {True: "[green]yes", False: "[red]no", None: "-"}[row["met"]]
        value = f"{row['value']:,.3g}" if isinstance(row["value"], float) else str(row["value"])
        table.add_row(row["name"], value, row["unit"], str(row["reference"] or "-"), str(row["target"] or "-"), met)
    return table


def scenario_table(site: Site, key: str) -> Table:
    """A scenario beside what is expected, and what is switched in it."""
    from grid_assets.foundation.lake import Lake
    from grid_assets.network.tables import SCENARIO_RESULTS

    one = Lake(site.lake_root).read(SCENARIO_RESULTS, key).iloc[0]
    zone = site.time_zone
    table = Table(title=f"{key}: {one['title']}", title_justify="left", caption=one["events"] or None, caption_justify="left")
    for name, justify in (("", "left"), ("expected", "right"), ("scenario", "right"), ("where and when", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    lowest, heaviest = (f"{one[f'{what}_utc'].tz_convert(zone):%H:%M}" for what in ("minimum_vm", "maximum_loading"))
    table.add_row("peak, kW", f"{one['expected_peak_kw']:,.0f}", f"{one['peak_kw']:,.0f}", "")
    table.add_row("highest loading, %", f"{one['expected_maximum_loading_pct']:.1f}", f"{one['maximum_loading_pct']:.1f}", f"{one['maximum_loading_branch']} {heaviest}")  # fmt: skip
    table.add_row("lowest voltage, p.u.", f"{one['expected_minimum_vm_pu']:.4f}", f"{one['minimum_vm_pu']:.4f}", f"{one['minimum_vm_bus']} {lowest}")  # fmt: skip
    if one["failed_steps"]:
        table.add_row(
            "intervals without a solution", "", f"[red]{one['failed_steps']}[/] of {one['steps']}", f"[red]{escape(one['failures'])}[/]"
        )
    table.add_row("violations", str(one["expected_violations"]), str(one["violations"]), f"{one['critical_violations']} critical")
    table.add_row("customers dark", "", str(one["customers_dark"]), f"{one['unserved_mwh']:.3f} MWh not served")
    return table


def range_table(site: Site, key: str) -> Table:
    """The buses and branches that were beyond a limit longest, else those that came nearest to one."""
    from grid_assets.foundation.lake import Lake
    from grid_assets.network.tables import RANGE_DAYS, RANGE_ELEMENTS

    lake, zone = Lake(site.lake_root), site.time_zone
    days, every = lake.read(RANGE_DAYS, key), lake.read(RANGE_ELEMENTS, key)
    solved, left_out, failed = (int(days[name].sum()) for name in ("steps", "left_out_steps", "failed_steps"))
    caption = f"{solved:,} intervals solved, {failed} without a solution, {left_out:,} without the loads of all nodes; losses {days['losses_mwh'].sum():,.1f} MWh"
    table = Table(title=f"Flows {key}", title_justify="left", caption=caption, caption_justify="left")
    for name in ("", "5 %", "median", "95 %", "extreme", "when", "h beyond"):
        table.add_column(name, justify="left" if name in ("", "when") else "right")
    every = every.assign(beyond=every["hours_below"] + every["hours_above"])
    volts, loading = every[every["quantity"] == "vm_pu"], every[every["quantity"] == "loading_pct"]
    chosen = [
        ("lowest voltage, p.u.", volts.sort_values(["hours_below", "minimum"], ascending=[False, True]), "minimum", ".4f"),
        ("highest voltage, p.u.", volts.sort_values(["hours_above", "maximum"], ascending=[False, False]), "maximum", ".4f"),
        ("loading, %", loading.sort_values(["hours_above", "maximum"], ascending=[False, False]), "maximum", ".1f"),
    ]
    for what, rows, extreme, shape in chosen:
        table.add_section()
        for one in rows.head(3).to_dict("records"):
            figures = (one[name] for name in ("quantile_5", "quantile_50", "quantile_95", extreme))
            when = one[f"{extreme}_utc"].tz_convert(zone)
            table.add_row(
                f"{what}: {one['element_kind']} {one['element_id']}",
                *(format(value, shape) for value in figures),
                f"{when:%Y-%m-%d %H:%M}",
                f"{one['beyond']:,.1f}",
            )
    return table

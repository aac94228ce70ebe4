"""What metering makes of real meter files: every row accounted for, what is refused, estimated, missing, copied or filled, how good
the estimates are.

Four sets of the shared data go through landing, raw readings and readings in temporary folders, with the functions that the doors
call; what must be found is told beforehand from the files alone, with plain pandas. Pictures go to docs/images.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pandas as pd
from rich.console import Console

from benchmarks import _real_gaps as gaps
from benchmarks import _real_injections as injections
from benchmarks import _real_pictures as pictures
from benchmarks._real_runs import Outcome, RealRun, outcome_of, run_set, unmeasured_of
from benchmarks._real_sets import SETS, SHARED, Known, known_of
from benchmarks.platform import Row, row
from grid_assets.definitions import PROJECT

IMAGES = PROJECT / "docs" / "images"
GAP_SETS = {"zonnedael": 60, "edrp": 10}
"""Sets whose readings are hidden, and how many days: the publisher left no gap in them."""
KNOWN_FILLED = {"zonnedael-013"}


def run(console: Console) -> list[Row]:
    """Runs all sets and draws the pictures; five minutes of processor time, or more on a busy machine."""
    if not (SHARED / "data").is_dir():
        raise SystemExit("the shared data sets are absent; expected their folder under GRID_ASSETS_SHARED")
    rows = [row("machine", os.cpu_count() or 0, "cores", f"load {os.getloadavg()[0]:.1f} before, ours not in it")]
    outcomes: dict[str, Outcome] = {}
    tables: dict[str, pd.DataFrame] = {}
    with tempfile.TemporaryDirectory(prefix="grid_assets_bench_") as folder, console.status("") as status:
        for one in SETS:
            made = run_set(one, Path(folder) / one.name, status.update)
            outcomes[one.name] = outcome_of(made)
            rows += set_rows(made, outcomes[one.name], known_of(made.source, made.site), unmeasured_of(made, status.update))
            pictures.draw_set(one.name, made, IMAGES)
            if one.name in GAP_SETS:
                status.update(f"{one.name}: hidden readings")
                held = gaps.day_matrixes(made.source, made.site, KNOWN_FILLED)
                tables[one.name] = gaps.gap_table(gaps.gap_errors(held, made.site.validation.linear_gap_minutes, GAP_SETS[one.name]))
                rows += gap_rows(one.name, tables[one.name]) + injection_rows(one.name, injections.found_pct(held))
    pictures.draw(IMAGES / "metering_real_rows.png", pictures.rows_picture(outcomes))
    pictures.draw(IMAGES / "metering_real_gaps.png", pictures.gaps_picture(tables))
    return rows


def set_rows(made: RealRun, outcome: Outcome, known: Known, unmeasured: pd.DataFrame) -> list[Row]:
    """What became of a set's rows, beside what plain pandas finds in its file."""
    name, days = made.site.name, len(made.days)
    cells = int(outcome.qualities.sum())
    copied, filled = (int((unmeasured["pattern"] == pattern).sum()) for pattern in ("copied_day", "filled"))
    estimated, missing = (int(outcome.qualities.get(quality, 0)) for quality in ("estimated", "missing"))
    meters = made.source["meter_id"].nunique()
    return [
        row(f"{name}: rows in", outcome.rows, "rows", f"{meters} meters, {days} days, {made.seconds:.0f} s, {made.processor_seconds:.0f} s of processor"),
        row(f"{name}: rows accounted for", outcome.accounted, "rows", "published + refused + failed + superseded", f"{outcome.rows}",
            outcome.accounted == outcome.rows and outcome.as_landed),
        row(f"{name}: superseded", outcome.superseded, "rows", f"rows that repeat a meter and time: {known.duplicates}", f"{known.duplicates}",
            outcome.superseded == known.duplicates),
        row(f"{name}: refused on arrival", int(outcome.refused.sum()), "rows", f"{_said(outcome.refused)}; in the file without value {known.without_value}, off the grid {known.off_grid}"),
        row(f"{name}: failed validation", int(outcome.failed.sum()), "values", _said(outcome.failed)),
        row(f"{name}: estimated", estimated, "intervals", f"{100 * estimated / cells:.4f} %; {_said(outcome.methods)}"),
        row(f"{name}: missing", missing, "intervals", f"no row speaks of {known.absent} intervals between a meter's first and last"),
        row(f"{name}: flags of meter days", int(outcome.flagged_days.sum()), "flags", _said(outcome.flagged_days)),
        row(f"{name}: copied days", copied, "meter days", f"by brute force {known.copied_days}", f"{known.copied_days}", copied == known.copied_days),
        row(f"{name}: filled days", filled, "meter days", f"days with a repeated pattern, by brute force {known.filled_days}"),
    ]  # fmt: skip


def _said(counts: pd.Series) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"


def gap_rows(name: str, table: pd.DataFrame) -> list[Row]:
    """Hidden readings against their estimates. The target: not worse than the better of the two peers, within 2 %."""
    rows = []
    for hours, own in table.groupby("hours"):
        by = own.set_index("method")
        best = min(float(by.loc[method, "wape"]) for method in gaps.PEERS)
        others = ", ".join(f"{method} {by.loc[method, 'wape']:.3f}" for method in gaps.METHODS[1:] if by.loc[method, "given_pct"] > 0)
        rows.append(row(f"{name}: WAPE of gaps of {hours} h", float(by.loc["published", "wape"]), "-", others, f"<= {1.02 * best:.3f}",
                        bool(by.loc["published", "wape"] <= 1.02 * best)))  # fmt: skip
        said = f"within 2: {by.loc['published', 'within_2']:.0f} %; normal errors give 68 and 95 %"
        rows.append(row(f"{name}: gaps of {hours} h, within 1 error_kwh", float(by.loc["published", "within_1"]), "%", said))
        energy = ", ".join(f"{method} {by.loc[method, 'gap_wape']:.3f}" for method in gaps.PEERS)
        rows.append(row(f"{name}: energy of a gap of {hours} h, WAPE", float(by.loc["published", "gap_wape"]), "-", energy))
    return rows


def injection_rows(name: str, found: pd.DataFrame) -> list[Row]:
    """How many of the copied and filled stretches that were put in are found."""
    said = {"copy": "a day of the week before", "mean": "the energy spread evenly, in whole Wh", "line": "a straight line in whole Wh"}
    return [
        row(f"{name}: {one.kind} of {one.hours} h put in, found", float(one.found_pct), "%", said[str(one.kind)])
        for one in found.itertuples()
    ]

"""Pictures of days on which there is nothing to draw: no meter in force, everything missing, no node."""

from __future__ import annotations

import pytest

from grid_assets.figures.readings import landing_picture, node_loads_picture, readings_picture
from grid_assets.metering.arrival.landing import rows_by_day_and_outcome
from grid_assets.metering.quality.aggregation import node_loads, summary
from grid_assets.metering.quality.day_matrices import day_curve, day_matrices
from grid_assets.metering.tables import RAW_READINGS
from grid_assets.metering.vee.reading_days import ShardInputs, day_grid, reading_day
from grid_assets_tests.metering.conftest import FIRST

PNG = b"\x89PNG"


@pytest.mark.parametrize(("meters", "nodes"), [("all", "all"), ("none", "all"), ("all", "none"), ("none", "none")])
def test_a_day_with_nothing_to_draw_has_its_pictures(made, meters, nodes):
    register = made.register if meters == "all" else made.register[made.register["meter_id"] == "old"]  # not in force any more
    tree = made.nodes if nodes == "all" else made.nodes.iloc[:0]
    grid = day_grid(made.site.clock, register, FIRST)
    day = reading_day(grid, ShardInputs(RAW_READINGS.empty()), made.site.validation)
    loads = node_loads(day.readings, grid.meters, tree, grid.starts, "v")
    assert summary(loads, grid.hours)["nodes"] == len(tree)
    curve = day_curve([day_matrices(day.readings, grid.meters, grid.starts)], grid.starts)
    assert set(curve["energy_kwh"]) == {0.0}
    assert readings_picture(curve, "Europe/London", 30, "nothing").startswith(PNG)
    assert node_loads_picture(loads, "Europe/London", 30, "nothing").startswith(PNG)


def test_a_system_without_a_value_has_its_picture(made):
    grid = day_grid(made.site.clock, made.register, FIRST)
    readings = reading_day(grid, ShardInputs(RAW_READINGS.empty()), made.site.validation).readings
    loads = node_loads(readings, grid.meters, made.nodes, grid.starts, "v")
    loads[["energy_kwh", "generation_kwh"]] = float("nan")
    assert node_loads_picture(loads, "Europe/London", 30, "nothing").startswith(PNG)


def test_a_day_on_which_no_file_came_has_its_picture():
    assert landing_picture(rows_by_day_and_outcome([]), "nothing").startswith(PNG)

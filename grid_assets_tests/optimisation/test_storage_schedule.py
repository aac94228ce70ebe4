"""Storage schedules: hand-computed cases, the shared vectors, properties, inputs that cannot be planned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid_assets.optimisation import storage_schedule
from grid_assets.optimisation.storage_instance import Instance, Nodes, Prices, ScheduleInputError, StorageUnits
from grid_assets.optimisation.storage_model import SolverError, solve
from grid_assets.optimisation.storage_schedule import faults_of_plan, schedule, simultaneous
from grid_assets_tests.conftest import SHARED
from grid_assets_tests.optimisation.reference import read_case

CASES = SHARED / "testcases" / "storage"
FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def one_unit(**changes: float) -> StorageUnits:
    """A lossless 10 kWh / 5 kW unit without wear, empty at first, with two cycles a day."""
    column = {
        "charge_kw": 5.0, "discharge_kw": 5.0, "capacity_kwh": 10.0, "minimum_kwh": 0.0, "maximum_kwh": 10.0, "initial_kwh": 0.0, "terminal_kwh": 0.0,
        "charge_efficiency": 1.0, "discharge_efficiency": 1.0, "self_discharge_per_interval": 0.0, "wear_cost_per_kwh": 0.0, "cycles_per_day": 2.0,
    } | changes  # fmt: skip
    return StorageUnits(["u"], ["n"], **{name: np.array([value]) for name, value in column.items()})


def one_node(demand: list[float], available: list[float] | None = None, **limits: float) -> Nodes:
    free = [0.0] * len(demand) if available is None else available
    low, high = limits.get("export_limit_kw", np.inf), limits.get("import_limit_kw", np.inf)
    return Nodes(["n"], [None], np.array([demand]), np.array([free]), np.array([high]), np.array([low]), limits.get("penalty_per_kwh", 5.0))


def instance(units: StorageUnits, nodes: Nodes, price: list[float], **more: float) -> Instance:
    export = more.pop("export", None)
    fed = np.array(price) if export is None else np.full(len(price), export)
    return Instance(units, nodes, Prices(np.array(price), fed, **more), 1.0, len(price))


def test_buys_cheap_and_sells_dear():
    """Four hours, 5 kW: 10 kWh bought at 0.10, delivered with 90 % of it at 0.50, wear 0.02 per kWh delivered."""
    made = schedule(instance(one_unit(charge_efficiency=0.9, wear_cost_per_kwh=0.02), one_node([0.0] * 4), [0.1, 0.1, 0.5, 0.5]))
    assert made.charge_kw.round(6).tolist() == [[5, 5, 0, 0]]
    assert made.discharge_kw.sum() == pytest.approx(9.0)
    assert made.objective == pytest.approx(10 * 0.1 - 9 * 0.5 + 9 * 0.02)
    assert made.costs.wear == pytest.approx(0.18)
    assert made.gap_pct < 1e-6


def test_cycle_budget_binds():
    made = schedule(instance(one_unit(cycles_per_day=0.3), one_node([0.0] * 4), [0.1, 0.1, 0.5, 0.5]))
    assert made.discharge_kw.sum() == pytest.approx(3.0)


def test_absorbs_generation_that_would_be_curtailed():
    """8 kW available against an export limit of 2: 6 are turned down without storage, 1 with 5 kW of charging."""
    nodes = one_node([0.0, 3.0], [8.0, 0.0], export_limit_kw=2.0)
    case = instance(one_unit(), nodes, [0.2, 0.2], export=0.05, curtailment_per_kwh=0.01)
    assert schedule(case.without_units()).curtailed_kw.round(6).tolist() == [[6.0, 0.0]]
    made = schedule(case)
    assert made.curtailed_kw.round(6).tolist() == [[1.0, 0.0]]
    assert made.objective == pytest.approx(-2 * 0.05 + 0.01 - 2 * 0.05)
    assert made.violations == ()


def test_peak_price_flattens_the_draw():
    made = schedule(instance(one_unit(initial_kwh=4.0, terminal_kwh=4.0), one_node([2.0, 6.0]), [0.1, 0.1], peak_per_kw=1.0))
    assert made.net_kw.round(6).tolist() == [[4.0, 4.0]]
    assert made.costs.peak == pytest.approx(4.0)


def test_a_limit_that_cannot_be_kept_is_priced_and_named():
    made = schedule(instance(one_unit(), one_node([12.0, 12.0], import_limit_kw=10.0, penalty_per_kwh=3.0), [0.1, 0.1]))
    assert made.costs.violations == pytest.approx(3.0 * 4.0)
    (one,) = made.violations  # whether 2 kW in both intervals or 4 in one is all the same
    assert (one.node_id, one.kind, one.energy_kwh) == ("n", "import", pytest.approx(4.0))
    assert str(one) == f"n: import limit exceeded in {one.intervals} intervals, by up to {one.largest_kw:.3g} kW (4 kWh)"


def test_negative_generation_surplus_violates_export_only_when_curtailment_is_used_up():
    made = schedule(instance(one_unit(maximum_kwh=0.0, capacity_kwh=0.0), one_node([-7.0], [1.0], export_limit_kw=5.0), [0.1]))
    assert made.curtailed_kw.tolist() == [[1.0]]
    assert [one.kind for one in made.violations] == ["export"]
    assert made.violations[0].largest_kw == pytest.approx(2.0)


def test_flows_add_up_through_the_tree():
    units = replace(one_unit(initial_kwh=5.0), node_id=["leaf"])
    nodes = Nodes(
        ["top", "middle", "leaf"],
        [None, "top", "middle"],
        np.array([[1.0], [2.0], [9.0]]),
        np.zeros((3, 1)),
        np.array([np.inf] * 3),
        np.full(3, np.inf),
    )
    made = schedule(Instance(units, nodes, Prices(np.array([0.3]), np.array([0.1])), 1.0, 1))
    assert made.discharge_kw.round(6).tolist() == [[5.0]]
    assert made.net_kw[:, 0].round(6).tolist() == [7.0, 6.0, 4.0]


def test_exact_terminal_energy_is_met_and_not_exceeded():
    """Charging is paid for (-0.1), so a free end would stay full."""
    case = instance(one_unit(initial_kwh=2.0, terminal_kwh=2.0), one_node([20.0, 20.0]), [-0.1, -0.05], export=-0.2)
    assert schedule(case).energy_kwh[0, -1] > 9
    assert schedule(replace(case, terminal_exact=True)).energy_kwh[0, -1] == pytest.approx(2.0)


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared verification cases are absent; set GRID_ASSETS_SHARED")
@pytest.mark.parametrize(
    "name",
    ["arbitrage_1x24_hand", "arbitrage_10x96_a", "negative_prices_4x24_a", "negative_prices_8x96_a", "network_6x24_1feeder_a", "network_20x96_2feeders_a",
     "network_30x168_3feeders_week_a"],
)  # fmt: skip
def test_shared_vectors(name):
    case, expected = read_case(CASES / f"{name}.json")
    made = schedule(case)
    assert made.objective == pytest.approx(expected["objective_eur"], rel=expected["relative_tolerance"])
    assert made.gap_pct < 1e-3
    assert faults_of_plan(case, made.charge_kw, made.discharge_kw, made.energy_kwh) == []
    if "no_storage_objective_eur" in expected:
        assert schedule(case.without_units()).objective == pytest.approx(expected["no_storage_objective_eur"], rel=1e-5)
        used = 1.0 - made.curtailed_kw.sum() / case.nodes.available_kw.sum()
        assert used == pytest.approx(expected["pv_utilisation_in_reference_solution"], abs=0.02)
    if "lp_relaxation_objective_eur" in expected:
        relaxed = schedule(replace(case, exclusive=False))
        assert relaxed.objective == pytest.approx(expected["lp_relaxation_objective_eur"], rel=1e-5)
        assert made.exclusive_pairs > 0


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    """Two feeders under a top, up to three units, 6 intervals, prices above 0."""
    steps, count = 6, draw(st.integers(1, 3))
    seed = draw(st.integers(0, 10_000))
    random = np.random.default_rng(seed)
    capacity = random.uniform(5, 50, count)
    start = capacity * random.uniform(0.2, 0.8, count)
    units = StorageUnits(
        [f"u{n}" for n in range(count)], [f"f{random.integers(2)}" for _ in range(count)],
        capacity * random.uniform(0.2, 1, count), capacity * random.uniform(0.2, 1, count), capacity, 0.1 * capacity, capacity, start, start,
        random.uniform(0.8, 1, count), random.uniform(0.8, 1, count), np.zeros(count), random.uniform(0.005, 0.05, count), random.uniform(0.2, 2, count),
    )  # fmt: skip
    demand, available = random.uniform(0, 30, (3, steps)), random.uniform(0, 60, (3, steps))
    demand[0] = available[0] = 0.0
    limits = random.uniform(10, 60, (2, 3))
    price = random.uniform(0.05, 0.4, steps)
    nodes = Nodes(["top", "f0", "f1"], [None, "top", "top"], demand, available, limits[0], limits[1])
    return Instance(
        units, nodes, Prices(price, price * random.uniform(0, 1), 0.0, random.choice([0.0, 0.5])), 1.0, steps, terminal_exact=bool(seed % 2)
    )


@FEW
@given(instances())
def test_plans_are_possible_proven_and_never_worse_than_none(case):
    made = schedule(case)
    assert faults_of_plan(case, made.charge_kw, made.discharge_kw, made.energy_kwh, 1e-6) == []
    assert simultaneous(made.charge_kw, made.discharge_kw) == set()
    assert made.gap_pct < 1e-3
    assert made.objective <= schedule(case.without_units()).objective + 1e-6
    assert (made.curtailed_kw <= case.nodes.available_kw).all()
    own = (
        case.nodes.demand_kw.sum()
        - case.nodes.available_kw.sum()
        + made.curtailed_kw.sum()
        + made.charge_kw.sum()
        - made.discharge_kw.sum()
    )
    assert made.net_kw[0].sum() == pytest.approx(own)


@FEW
@given(instances(), st.sampled_from([0.5, 3.0]))
def test_all_powers_and_energies_scaled_scale_the_cost(case, factor):
    sized = ("charge_kw", "discharge_kw", "capacity_kwh", "minimum_kwh", "maximum_kwh", "initial_kwh", "terminal_kwh")
    units = replace(case.units, **{name: getattr(case.units, name) * factor for name in sized})
    kilowatts = ("demand_kw", "available_kw", "import_limit_kw", "export_limit_kw")
    nodes = replace(case.nodes, **{name: getattr(case.nodes, name) * factor for name in kilowatts})
    scaled = schedule(replace(case, units=units, nodes=nodes))
    assert scaled.objective == pytest.approx(factor * schedule(case).objective, rel=1e-5, abs=1e-5)


@FEW
@given(instances())
def test_the_order_of_units_does_not_matter_and_a_plan_repeats_itself(case):
    first = schedule(case)
    turned = schedule(replace(case, units=case.units.take(list(range(len(case.units)))[::-1])))
    assert turned.objective == pytest.approx(first.objective, rel=1e-5, abs=1e-6)
    again = schedule(case)
    assert np.array_equal(first.charge_kw, again.charge_kw)
    assert np.array_equal(first.energy_kwh, again.energy_kwh)


def burning() -> Instance:
    """One lossy unit, full, paid to draw: the linear programme charges and discharges at once."""
    units = one_unit(initial_kwh=10.0, terminal_kwh=5.0, charge_efficiency=0.8, discharge_efficiency=0.8)
    return instance(units, one_node([0.0] * 3), [0.1, -0.5, -0.4])


def test_burning_energy_is_found_and_prevented():
    case = burning()
    assert simultaneous(*(getattr(schedule(replace(case, exclusive=False)), name) for name in ("charge_kw", "discharge_kw")))
    made = schedule(case)
    assert not simultaneous(made.charge_kw, made.discharge_kw)
    assert made.exclusive_pairs > 0
    # by hand: 8 kWh out of the store in the first interval is 5 kW x 1 h / 0.8 = 6.25; then 4 kWh a step in at 5 kW
    assert made.objective == pytest.approx(-5 * 0.1 - 5 * 0.5 - (10 - 3.75 - 4) / 0.8 * 0.4)


def test_without_a_search_the_gap_is_stated(monkeypatch):
    monkeypatch.setattr(storage_schedule, "SEARCHABLE_PAIRS", 0)
    case = burning()
    made, best = schedule(case), schedule(replace(case, exclusive=False))
    assert not simultaneous(made.charge_kw, made.discharge_kw)
    assert made.bound == pytest.approx(best.objective)
    assert made.gap_pct == pytest.approx(100 * (made.objective - best.objective) / abs(made.objective))


def test_when_the_search_fails_the_fixed_plan_stands(monkeypatch):
    real = storage_schedule.solve

    def without_binaries(*given, **named):
        if named.get("binary"):
            raise SolverError("no")
        return real(*given, **named)

    monkeypatch.setattr(storage_schedule, "solve", without_binaries)
    made = schedule(burning())
    assert not simultaneous(made.charge_kw, made.discharge_kw)
    assert made.gap_pct > 0


def test_no_time_is_an_error_that_says_so():
    case, _ = (instance(one_unit(), one_node([1.0] * 96, [2.0] * 96), [0.1, 0.3] * 48, peak_per_kw=0.2), None)
    with pytest.raises(SolverError, match=r"expected an optimum"):
        solve(case, time_limit_s=0.0)


BROKEN = {
    "unit u: charge_efficiency is 1.2, expected above 0 and at most 1": one_unit(charge_efficiency=1.2),
    "unit u: initial_kwh is 11.0, outside the energy window 0.0 to 10.0": one_unit(initial_kwh=11.0),
    "unit u: charge_kw is -1.0, expected 0 or more": one_unit(charge_kw=-1.0),
    "unit u: wear_cost_per_kwh is nan, expected a number": one_unit(wear_cost_per_kwh=np.nan),
    "unit u: self_discharge_per_interval is 1.0, expected below 1": one_unit(self_discharge_per_interval=1.0),
    "unit u: the energy window is empty": one_unit(minimum_kwh=11.0, initial_kwh=11.0, terminal_kwh=11.0),
    "unit u, interval 1: terminal_kwh 10.0 cannot be reached, at most 8": one_unit(terminal_kwh=10.0, charge_kw=4.0),
    "unit u, interval 0: full charging cannot make up for self-discharge": one_unit(
        initial_kwh=5, minimum_kwh=5, terminal_kwh=5, self_discharge_per_interval=0.9, charge_kw=1
    ),
    "unit u: its node 'm' is unknown; known are n": replace(one_unit(), node_id=["m"]),
    "unit u: the id occurs more than once": one_unit().take([0, 0]),
    "charge_kw has the shape (2,), expected one value per unit, 1": replace(one_unit(), charge_kw=np.ones(2)),
}


@pytest.mark.parametrize("said", BROKEN)
def test_units_that_cannot_be_planned_are_named(said):
    with pytest.raises(ScheduleInputError) as error:
        schedule(instance(BROKEN[said], one_node([1.0, 1.0]), [0.1, 0.2]))
    assert said in str(error.value)


def test_inputs_that_cannot_be_planned_are_named():
    good = instance(one_unit(), one_node([1.0, 1.0]), [0.1, 0.2])
    two = np.array([[1.0, 1.0], [1.0, 1.0]])
    limits = np.full(2, np.inf)
    cases = {
        "node n, interval 1: demand_kw is nan": replace(good, nodes=one_node([1.0, np.nan])),
        "node n, interval 0: available_kw is -2.0": replace(good, nodes=one_node([1.0, 1.0], [-2.0, 0.0])),
        "node n: import_limit_kw is nan": replace(good, nodes=one_node([1.0, 1.0], import_limit_kw=np.nan)),
        "interval 1: the export price 0.9 is above the import price 0.2": replace(
            good, prices=Prices(np.array([0.1, 0.2]), np.array([0.1, 0.9]))
        ),
        "interval 0: the import price is nan": replace(good, prices=Prices(np.array([np.nan, 0.2]), np.array([0.0, 0.0]))),
        "the price of a limit's violation": replace(good, nodes=one_node([1.0, 1.0], penalty_per_kwh=-1.0)),
        "the prices of peak and curtailment": replace(good, prices=Prices(np.array([0.1, 0.2]), np.array([0.0, 0.0]), -1.0)),
        "export_per_kwh has the shape (1,)": replace(good, prices=Prices(np.array([0.1, 0.2]), np.array([0.0]))),
        "interval_hours and intervals_per_day": replace(good, interval_hours=0.0),
        "demand_kw has the shape (1, 3)": replace(good, nodes=one_node([1.0, 1.0, 1.0], [0.0, 0.0])),
        "import_limit_kw has the shape (2,)": replace(good, nodes=replace(one_node([1.0, 1.0]), import_limit_kw=np.ones(2))),
        "node n: the id occurs more than once": replace(good, nodes=Nodes(["n", "n"], [None, None], two, two, limits, limits)),
        "node m: its parent 'x' is unknown": replace(good, nodes=Nodes(["n", "m"], [None, "x"], two, two, limits, limits)),
        "expected exactly one node without a parent, found ['n', 'm']": replace(
            good, nodes=Nodes(["n", "m"], [None, None], two, two, limits, limits)
        ),
        "node m: its parents form a loop": replace(good, nodes=Nodes(["n", "m"], [None, "m"], two, two, limits, limits)),
    }
    for said, case in cases.items():
        with pytest.raises(ScheduleInputError) as error:
            schedule(case)
        assert said in str(error.value)


def test_many_faults_are_counted():
    with pytest.raises(ScheduleInputError, match=r"and 8 more"):
        schedule(instance(one_unit(), one_node([np.nan] * 20), [0.1] * 20))


def test_faults_of_a_plan_are_found():
    case = replace(instance(one_unit(cycles_per_day=0.6), one_node([0.0] * 4), [0.1, 0.1, 0.5, 0.5]), terminal_exact=True)
    made = schedule(case)
    plan = {"charge_kw": made.charge_kw, "discharge_kw": made.discharge_kw, "energy_kwh": made.energy_kwh}
    assert faults_of_plan(case, **plan) == []
    for name, change, said in (
        ("charge_kw", 6.0, "charges outside"),
        ("discharge_kw", -1.0, "discharges outside"),
        ("energy_kwh", 11.0, "leaves its energy window"),
        ("energy_kwh", 1.0, "does not follow from its power"),
        ("energy_kwh", 1.0, "ends with 1 kWh, expected 0"),
    ):
        wrong = plan[name].copy()
        wrong[0, -1] = change
        assert any(said in one for one in faults_of_plan(case, **(plan | {name: wrong})))
    assert any(
        "cycle budget" in one for one in faults_of_plan(replace(case, units=replace(case.units, cycles_per_day=np.array([0.1]))), **plan)
    )
    both = {"charge_kw": np.full((1, 4), 1.0), "discharge_kw": np.full((1, 4), 1.0), "energy_kwh": np.zeros((1, 4))}
    assert any("at once" in one for one in faults_of_plan(case, **both))


def test_the_fingerprint_tells_instances_apart():
    case = instance(one_unit(), one_node([1.0, 1.0]), [0.1, 0.2])
    assert case.fingerprint() == instance(one_unit(), one_node([1.0, 1.0]), [0.1, 0.2]).fingerprint()
    others = (
        replace(case, terminal_exact=True),
        replace(case, units=one_unit(cycles_per_day=1.0)),
        replace(case, nodes=one_node([1.0, 1.1])),
    )
    assert len({case.fingerprint(), *(other.fingerprint() for other in others)}) == 4

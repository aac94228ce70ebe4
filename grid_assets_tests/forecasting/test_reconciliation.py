"""Against the dense quadratic problem: the same numbers, coherent, not below zero, and no worse above than before."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

from grid_assets.forecasting.reconciliation import Hierarchy, node_sums, reconciled


def summing(tree: Hierarchy) -> np.ndarray:
    """[nodes, leaves], by following every leaf up."""
    made = np.zeros((len(tree.parent), len(tree.node_of)))
    for leaf, node in enumerate(tree.node_of):
        while node >= 0:
            made[node, leaf] = 1.0
            node = tree.parent[node]
    return made


def dense(leaves, leaf_variance, nodes, node_variance, tree, signed) -> np.ndarray:
    """One time's leaves by a general solver with bounds."""
    known = np.isfinite(nodes)
    matrix = np.vstack([np.eye(len(leaves)), summing(tree)[known]])
    weight = 1.0 / np.sqrt(np.concatenate([leaf_variance, node_variance[known]]))
    answer = np.concatenate([leaves, nodes[known]])
    low = np.where(signed, -np.inf, 0.0)
    return lsq_linear(matrix * weight[:, None], answer * weight, bounds=(low, np.inf), tol=1e-14, lsmr_tol="auto").x


def cost(made, leaves, leaf_variance, nodes, node_variance, tree) -> float:
    """One time's squared changes over their variances."""
    known, sums = np.isfinite(nodes), summing(tree) @ made
    return float(((made - leaves) ** 2 / leaf_variance).sum() + ((sums - nodes)[known] ** 2 / node_variance[known]).sum())


@st.composite
def problems(draw):
    nodes = draw(st.integers(1, 6))
    parent = np.array([-1, *(draw(st.integers(0, n - 1)) for n in range(1, nodes))])
    leaves = draw(st.integers(1, 9))
    node_of = np.array([draw(st.integers(0, nodes - 1)) for _ in range(leaves)])
    generator = np.random.default_rng(draw(st.integers(0, 10_000)))
    own = generator.normal(6.0, 8.0, (nodes, 2))
    own[generator.random(nodes) < 0.2] = np.nan
    signed = generator.random(leaves) < 0.3
    return (
        generator.normal(1.0, 2.0, (leaves, 2)), generator.uniform(0.1, 4.0, leaves), own, generator.uniform(0.01, 4.0, nodes),
        Hierarchy(node_of, parent), signed,
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(problems())
def test_it_is_the_solution_of_the_quadratic_problem(problem):
    leaves, leaf_variance, nodes, node_variance, tree, signed = problem
    made, sums = reconciled(leaves, leaf_variance, nodes, node_variance, tree, signed)
    np.testing.assert_allclose(sums, summing(tree) @ made, atol=1e-9)
    assert (made[~signed] >= 0).all()
    for moment in range(2):
        expected = dense(leaves[:, moment], leaf_variance, nodes[:, moment], node_variance, tree, signed)
        np.testing.assert_allclose(made[:, moment], expected, atol=2e-5)


@st.composite
def near_zero_problems(draw):
    """Many leaves about zero on several levels, variances and scales far apart: most leaves end at zero, a few rounds one after another."""
    generator = np.random.default_rng(draw(st.integers(0, 100_000)))
    nodes, leaves = draw(st.integers(4, 14)), draw(st.integers(20, 60))
    parent = np.array([-1, *(generator.integers(max(n - 3, 0), n) for n in range(1, nodes))])  # deep rather than broad
    size = 10.0 ** generator.uniform(-1, 1, (leaves, 1))
    own = generator.normal(0.0, 2.0, (nodes, 1))
    own[generator.random(nodes) < 0.2] = np.nan
    return (
        generator.normal(0.05, 0.3, (leaves, 1)) * size, 10.0 ** generator.uniform(-2, 1, leaves), own, 10.0 ** generator.uniform(-2, 1, nodes),
        Hierarchy(generator.integers(0, nodes, leaves), parent), generator.random(leaves) < 0.2,
    )  # fmt: skip


def gradient(made, leaves, leaf_variance, nodes, node_variance, tree) -> np.ndarray:
    """Half the derivative of the squares by each leaf [leaves], at one time."""
    known, below = np.isfinite(nodes), summing(tree)
    return (made - leaves) / leaf_variance + below[known].T @ ((below[known] @ made - nodes[known]) / node_variance[known])


@settings(max_examples=200, deadline=None)
@given(near_zero_problems())
def test_many_leaves_about_zero_are_the_solution_too(problem):
    """Also nothing is held at zero that would rather be above it, although what is held once is never let go."""
    leaves, leaf_variance, nodes, node_variance, tree, signed = problem
    made = reconciled(leaves, leaf_variance, nodes, node_variance, tree, signed)[0][:, 0]
    pull = gradient(made, leaves[:, 0], leaf_variance, nodes[:, 0], node_variance, tree)
    scale = 1e-7 * (1 + np.abs(leaves[:, 0]).max()) / min(leaf_variance.min(), node_variance.min())
    held = ~signed & (made <= 0)
    assert (made[~signed] >= 0).all()
    np.testing.assert_allclose(pull[~held], 0.0, atol=scale)
    assert (pull[held] >= -scale).all()
    expected = dense(leaves[:, 0], leaf_variance, nodes[:, 0], node_variance, tree, signed)
    # the general solver stops a little before the optimum where many leaves lie at their bounds
    ours, theirs = (cost(one, leaves[:, 0], leaf_variance, nodes[:, 0], node_variance, tree) for one in (made, expected))
    assert ours <= theirs * (1 + 1e-9) + 1e-9
    np.testing.assert_allclose(made, expected, atol=1e-2)


def test_it_ends_at_the_solution_however_many_rounds_it_takes():
    """Below one sure node each leaf is pushed below zero only once the one before it is held: the last leaf alone stays, with all of the sum."""
    many, total = 80, 3.0
    variance = 2.0 ** np.arange(many, 0, -1)
    # the surplus a unit of variance that leaves from the n-th on have to give up rises by a half with each that is held, just above the next
    surplus = 10.0 + 0.5 * np.arange(many)
    leaves = variance * (surplus - 0.3)
    leaves[-1] = total + variance[-1] * surplus[-1]
    tree = Hierarchy(np.zeros(many, int), np.array([-1]))
    made, sums = reconciled(leaves[:, None], variance, np.array([[total]]), np.array([1e-12]), tree)
    np.testing.assert_allclose(made[:, 0], [*np.zeros(many - 1), total], atol=1e-6)
    assert sums[0, 0] == pytest.approx(total)


def test_coherent_forecasts_stay_as_they_are():
    tree = Hierarchy(np.array([1, 1, 2]), np.array([-1, 0, 0]))
    leaves = np.array([[1.0], [2.0], [4.0]])
    made, sums = reconciled(leaves, np.ones(3), node_sums(leaves, tree), np.ones(3), tree)
    np.testing.assert_allclose(made, leaves, atol=1e-12)
    np.testing.assert_allclose(sums[:, 0], [7.0, 3.0, 4.0])


def test_a_sure_node_decides_and_unsure_leaves_give_way():
    tree = Hierarchy(np.array([0, 0]), np.array([-1]))
    made, sums = reconciled(np.array([[1.0], [1.0]]), np.array([1.0, 3.0]), np.array([[6.0]]), np.array([1e-9]), tree)
    np.testing.assert_allclose(sums, 6.0, atol=1e-6)
    np.testing.assert_allclose(made[:, 0], [2.0, 4.0], atol=1e-6)


def test_a_node_without_meters_is_nothing_and_one_without_a_forecast_takes_the_sum():
    tree = Hierarchy(np.array([1]), np.array([-1, 0, 0]))
    made, sums = reconciled(np.array([[2.0]]), np.ones(1), np.array([[4.0], [np.nan], [9.0]]), np.ones(3), tree)
    assert made[0, 0] == pytest.approx(3.0)
    np.testing.assert_allclose(sums[:, 0], [3.0, 3.0, 0.0])


def test_a_loop_is_refused():
    with pytest.raises(ValueError, match="loop"):
        reconciled(np.ones((1, 1)), np.ones(1), np.ones((2, 1)), np.ones(2), Hierarchy(np.array([0]), np.array([1, 0])))


def test_ten_thousand_meters_and_a_week_take_seconds():
    generator = np.random.default_rng(0)
    tree = Hierarchy(np.arange(10_000) % 50 + 1, np.array([-1, *[0] * 50]))
    leaves = generator.gamma(1.0, 0.5, (10_000, 168)) - 0.1
    began = time.process_time()
    made, sums = reconciled(leaves, generator.uniform(0.1, 1.0, 10_000), node_sums(leaves, tree) * 1.1, np.full(51, 4.0), tree)
    assert time.process_time() - began < 20
    assert (made >= 0).all()
    np.testing.assert_allclose(sums[0], made.sum(axis=0), rtol=1e-9)

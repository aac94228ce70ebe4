"""The answer to prices: a case by hand, and what must hold for any load and price."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from grid_assets.market.price_response import Elasticities, PriceResponseError, respond

FEW = settings(max_examples=60, deadline=None)
LOADS = arrays(float, (8, 3), elements=st.floats(0, 1000))
PRICES = arrays(float, 8, elements=st.floats(0.01, 2))
ASSUMED = st.builds(Elasticities, st.floats(-1, 0), st.floats(0, 1), st.just("test"))


def test_two_intervals_by_hand():
    """100 kW each, the second's price doubles and substitution is 0.1: ratio 2^-0.1 = 0.93303, energy kept."""
    after = respond(np.array([100.0, 100.0]), np.array([0.2, 0.2]), np.array([0.2, 0.4]), Elasticities(0.0, 0.1, "hand"))
    assert after == pytest.approx([103.4644, 96.5356], abs=1e-3)
    assert after.sum() == pytest.approx(200.0)


def test_own_price_by_hand():
    """All prices double, elasticity -0.1: 2^-0.1 of the energy everywhere."""
    after = respond(np.array([100.0, 50.0]), np.array([0.2, 0.3]), np.array([0.4, 0.6]), Elasticities(-0.1, 0.3, "hand"))
    assert after == pytest.approx([93.3033, 46.6516], abs=1e-3)


@FEW
@given(LOADS, PRICES, PRICES)
def test_no_elasticity_changes_nothing(load, base, candidate):
    assert respond(load, base, candidate, Elasticities(0.0, 0.0, "none")) == pytest.approx(load)


@FEW
@given(LOADS, PRICES, ASSUMED)
def test_the_same_prices_change_nothing(load, base, assumed):
    assert respond(load, base, base, assumed) == pytest.approx(load)


@FEW
@given(LOADS, PRICES, PRICES, ASSUMED)
def test_energy_follows_the_mean_price_and_load_stays_positive(load, base, candidate, assumed):
    after = respond(load, base, candidate, assumed)
    assert (after >= 0).all()
    for before, now in zip(load.T, after.T, strict=True):
        if before.sum() > 1e-6:
            assert now.sum() == pytest.approx(before.sum() * ((candidate @ before) / (base @ before)) ** assumed.own_price)


@FEW
@given(LOADS, PRICES, PRICES, ASSUMED)
def test_load_moves_towards_intervals_that_became_cheaper(load, base, candidate, assumed):
    moved = respond(load + 1.0, base, candidate, Elasticities(0.0, assumed.substitution, "test")) / (load + 1.0)
    order = np.argsort(candidate / base)
    assert (np.diff(moved[order], axis=0) <= 1e-9 * moved.max()).all()


@FEW
@given(LOADS, PRICES, PRICES, ASSUMED, st.floats(0.1, 10))
def test_twice_the_load_answers_twice_and_the_currency_does_not_matter(load, base, candidate, assumed, factor):
    after = respond(load, base, candidate, assumed)
    assert respond(load * factor, base, candidate, assumed) == pytest.approx(after * factor)
    assert respond(load, base * factor, candidate * factor, assumed) == pytest.approx(after)


def test_what_feeds_in_stays():
    after = respond(np.array([-50.0, 100.0, 100.0]), np.full(3, 0.2), np.array([0.1, 0.2, 0.4]), Elasticities(0.0, 0.1, "test"))
    assert after[0] == -50.0
    assert after.sum() == pytest.approx(150.0)


@pytest.mark.parametrize(
    ("load", "base", "candidate", "said"),
    [
        ([1.0, 1.0], [0.1], [0.1], "expected as many"),
        ([1.0], [0.1], [0.0], "prices above 0"),
        ([1.0], [-0.1], [0.1], "prices above 0"),
        ([np.nan], [0.1], [0.1], "interval 0: the load is no number"),
    ],
)
def test_what_has_no_answer(load, base, candidate, said):
    with pytest.raises(PriceResponseError, match=said):
        respond(np.array(load), np.array(base), np.array(candidate), Elasticities(0.0, 0.1, "test"))


def test_elasticities_of_the_wrong_sign():
    with pytest.raises(PriceResponseError, match="0 or below"):
        Elasticities(0.1, 0.1, "test")
    with pytest.raises(PriceResponseError, match="0 or above"):
        Elasticities(-0.1, -0.1, "test")

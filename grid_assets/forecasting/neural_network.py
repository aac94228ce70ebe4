"""The recurrent network behind ``neural.LstmForecaster``: arrays in, quantiles out. Needs the extra ``neural`` (JAX on the processor).

An LSTM (Hochreiter, Schmidhuber 1997) reads the last week; a second one starts from what the first remembers and walks over the hours
to come, of which calendar and expected weather are known (Sutskever, Vinyals, Le 2014; Wen and others 2017 for forecasts). It answers
all hours at once with quantiles that cannot cross, and is trained on their pinball loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

try:
    import equinox as eqx  # pyright: ignore[reportMissingImports]
    import jax  # pyright: ignore[reportMissingImports]
    import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
    import optax  # pyright: ignore[reportMissingImports]
except ImportError as error:
    raise ImportError(
        f"the neural forecaster needs {error.name}, which is not installed: `uv sync --extra neural`, or install grid_assets[neural]"
    ) from error

DAY, WEEK = 24, 168
"""Hours; the network looks back a week."""
WIDTH = 64
BATCH = 32
PEAK_RATE, REFRESH_RATE, WARM_UP_SHARE = 4e-3, 4e-4, 0.05
WEIGHT_DECAY, LARGEST_GRADIENT = 0.1, 1.0
AVERAGED = 0.99
"""The weights in use are a running mean of the trained ones that keeps this share a step (Polyak, Juditsky 1992)."""
FIRST_STEP = -3.0
"""Of the quantiles, before training: some 5 % of the load apart."""


@dataclass(frozen=True)
class Hours:
    """A series hour by hour."""

    load: np.ndarray
    """[hours], as the network sees it, gaps filled. From a forecast's start on it is not looked at."""
    known: np.ndarray
    """[hours]: 1 where the load is known, 0 where it was filled in."""
    facts: np.ndarray
    """[hours, facts]: calendar and weather, measured or expected."""


class Network(eqx.Module):
    """Two LSTM cells and what turns their memory into quantiles."""

    encoder: Any
    decoder: Any
    head: Any
    middle: int = eqx.field(static=True)

    def __init__(self, facts: int, levels: int, key):
        first, second, third = jax.random.split(key, 3)
        self.encoder = eqx.nn.LSTMCell(facts + 2, WIDTH, key=first)
        self.decoder = eqx.nn.LSTMCell(2 * facts + 3, WIDTH, key=second)
        self.head = eqx.nn.MLP(WIDTH + 2 * facts + 3, levels, WIDTH, 1, jax.nn.gelu, key=third)
        self.middle = levels // 2

    def __call__(self, past, coming, week_before):
        """Quantiles [hours, levels] from past [WEEK, inputs] and coming hours [hours, inputs]; the middle one adds to the week before's load."""

        def read(state, seen):
            return self.encoder(seen, state), None

        def walk(state, told):
            state = self.decoder(told, state)
            return state, state[0]

        state, _ = jax.lax.scan(read, (jnp.zeros(WIDTH), jnp.zeros(WIDTH)), past)
        _, hidden = jax.lax.scan(walk, state, coming)
        answer = jax.vmap(self.head)(jnp.concatenate([hidden, coming], axis=1))
        steps = jax.nn.softplus(answer + FIRST_STEP)
        middle = answer[:, self.middle, None] + week_before[:, None]
        below = jnp.cumsum(steps[:, : self.middle][:, ::-1], axis=1)[:, ::-1]
        above = jnp.cumsum(steps[:, self.middle + 1 :], axis=1)
        return jnp.concatenate([middle - below, middle, middle + above], axis=1)


def trained(
    hours: Hours, levels: Sequence[float], horizon: int, steps: int, seed: Sequence[int], network: Network | None = None
) -> Network:
    """A network fitted to ``hours``; a given ``network`` is trained further, at a low rate.

    Each of the ``steps`` learns from BATCH windows of a week and ``horizon`` hours (at most WEEK) that begin at any hour, drawn by ``seed``.
    The same input gives the same weights on the same machine. AdamW (Loshchilov, Hutter 2019), the rate rising first and
    then falling along a cosine.
    """
    key = jax.random.key(int(np.random.SeedSequence(seed).generate_state(1)[0]))
    optimiser = _optimiser(steps if network is None else None)
    network = Network(hours.facts.shape[1], len(levels), key) if network is None else network
    weights, fixed = eqx.partition(network, eqx.is_array)
    starts = jax.random.randint(jax.random.fold_in(key, 1), (steps, BATCH), WEEK, len(hours.load) - horizon + 1)
    begun = (weights, optimiser.init(weights), weights)
    return eqx.combine(_taught(begun, fixed, optimiser, _arrays(hours), starts, jnp.asarray(levels), horizon), fixed)


@cache
def _optimiser(steps: int | None):
    """For a training of so many steps; None: to train further. Cached, for what was compiled for one serves the next."""
    if steps is None:
        rate: Any = REFRESH_RATE
    else:
        warm_up = int(WARM_UP_SHARE * steps) + 1
        rate = optax.warmup_cosine_decay_schedule(0.0, PEAK_RATE, warm_up, max(steps, warm_up + 1))
    return optax.chain(optax.clip_by_global_norm(LARGEST_GRADIENT), optax.adamw(rate, weight_decay=WEIGHT_DECAY))


@eqx.filter_jit
def _taught(begun, fixed, optimiser, arrays, starts, levels, horizon: int):
    """The running mean of the weights after a step of training for each row of ``starts``; ``begun``: weights, the optimiser's state, mean."""

    def step(carry, starts):
        weights, state, mean = carry
        gradient = jax.grad(lambda tried: _loss(eqx.combine(tried, fixed), arrays, starts, levels, horizon))(weights)
        change, state = optimiser.update(gradient, state, weights)
        weights = optax.apply_updates(weights, change)
        mean = jax.tree.map(lambda old, new: AVERAGED * old + (1 - AVERAGED) * new, mean, weights)
        return (weights, state, mean), None

    return jax.lax.scan(step, begun, starts)[0][2]


def predicted(network: Network, hours: Hours, starts: Sequence[int], horizon: int) -> np.ndarray:
    """Quantiles [starts, horizon, levels] of the ``horizon`` hours (at most WEEK) from each start, as the network sees the load."""
    return np.asarray(_answers(network, *_arrays(hours), jnp.asarray(starts), horizon), float)


@eqx.filter_jit
def _answers(network, load, known, facts, starts, horizon: int):
    return jax.vmap(lambda start: network(*_window(load, known, facts, start, horizon)))(starts)


def _loss(network, arrays, starts, levels, horizon: int):
    """Mean pinball loss over levels and known hours."""
    load, known, _ = arrays
    made = _answers(network, *arrays, starts, horizon)
    came, counts = (jax.vmap(lambda start, one=one: _piece(one, start, horizon))(starts) for one in (load, known))
    miss = came[..., None] - made
    pinball = jnp.maximum(levels * miss, (levels - 1.0) * miss).mean(axis=-1)
    return (pinball * counts).sum() / jnp.maximum(counts.sum(), 1.0)


def _window(load, known, facts, start, horizon: int):
    """What is known at hour ``start``: the past, the coming hours, and the load a week before each of them.

    Loads are told against the mean of the last week: a network that knows how high the load is knows which year it is.
    """
    back = start - WEEK
    past = _piece(load, back, WEEK)
    level, ahead, week_before = past.mean(), jnp.arange(horizon), _piece(load, back, horizon)
    seen = jnp.concatenate([_piece(facts, back, WEEK), jnp.stack([past - level, _piece(known, back, WEEK)], 1)], 1)
    latest = load[start - DAY + ahead % DAY]  # the last known hour at the same time of day
    lags = jnp.stack([week_before - level, latest - level, ahead / WEEK], 1)
    return seen, jnp.concatenate([_piece(facts, start, horizon), _piece(facts, back, horizon), lags], 1), week_before


def _piece(values, begin, size: int):
    return jax.lax.dynamic_slice_in_dim(values, begin, size)


def _arrays(hours: Hours):
    return tuple(jnp.asarray(one, jnp.float32) for one in (hours.load, hours.known, hours.facts))

"""The model in use stays until another has been clearly better, and every change is a row with its reason."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid_assets.forecasting.champion import Contest
from grid_assets.forecasting.demand import forecast_demand
from grid_assets.forecasting.promotions import MARGIN, held, promotions
from grid_assets.forecasting.tables import PROMOTIONS
from grid_assets_tests.forecasting import worlds

ISSUED = datetime(2016, 5, 26, 7, tzinfo=UTC)
ERROR = st.floats(0.1, 100.0) | st.just(float("nan"))


LADDER = ("weekly_naive", "calendar_weather", "ensemble")


def verdict(*errors: float) -> Contest:
    best = np.nanargmin(errors) if np.isfinite(errors).any() else 0
    return Contest(np.array([LADDER[best]]), {name: np.array([one]) for name, one in zip(LADDER, errors, strict=True)}, 28)


def chosen(made: Contest) -> str:
    return str(made.chosen[0])


@pytest.mark.parametrize(
    ("errors", "before", "now"),
    [
        ((10.0, 6.0, 5.95), "calendar_weather", "calendar_weather"),  # less than 2 % better: no change
        ((10.0, 6.0, 5.8), "calendar_weather", "ensemble"),
        ((10.0, 6.0, 5.95), None, "ensemble"),
        ((10.0, 9.9, float("nan")), "weekly_naive", "weekly_naive"),  # the naive is in use like any other
        ((10.0, 9.7, float("nan")), "weekly_naive", "calendar_weather"),
        ((5.95, 6.0, 7.0), "calendar_weather", "calendar_weather"),
        ((5.0, 6.0, 7.0), "calendar_weather", "weekly_naive"),  # clearly worse than the naive: demoted at once
        ((10.0, 6.0, float("nan")), "ensemble", "calendar_weather"),  # it cannot be made any more
        ((10.0, 6.0, 5.0), "a model of long ago", "ensemble"),
    ],
)
def test_the_model_in_use_stays_unless_it_is_clearly_beaten(errors, before, now):
    assert chosen(held(verdict(*errors), [before])) == now


@given(ERROR, ERROR, ERROR, st.sampled_from([None, *LADDER]))
def test_what_is_published_is_never_worse_than_the_best_by_more_than_the_margin(naive, model, ensemble, before):
    errors = dict(zip(LADDER, (naive, model, ensemble), strict=True))
    best = chosen(verdict(naive, model, ensemble))
    now = chosen(held(verdict(naive, model, ensemble), [before]))
    assert now in (best, before)
    if np.isfinite(errors[best]) and np.isfinite(errors[now]):
        assert errors[best] > (1 - MARGIN) * errors[now] or now == best


def test_a_change_is_told_with_its_reason_and_no_change_is_not():
    models = pd.DataFrame(
        {
            "subject_id": ["new", "same", "up", "gone", "short"],
            "model": ["calendar_weather", "ensemble", "ensemble", "calendar_weather", "weekly_naive"],
            "naive_mae_kw": [9.0, 9.0, 9.0, 9.0, np.nan],
            "calendar_weather_mae_kw": [6.0, 6.0, 8.0, 6.0, 6.0],
            "ensemble_mae_kw": [np.nan, 5.0, 6.0, np.nan, np.nan],
        }
    )
    before = {"same": "ensemble", "up": "calendar_weather", "gone": "ensemble", "short": "calendar_weather"}
    made = PROMOTIONS.conform(promotions(models, before, ISSUED)).to_pandas().set_index("subject_id")
    assert sorted(made.index) == ["gone", "new", "short", "up"]
    assert made.loc["new", "from_model"] is None
    assert made.loc["new", "why"].startswith("the first choice: calendar_weather")
    assert made.loc["up", "improvement_pct"] == pytest.approx(25.0)
    assert made.loc["up", "why"] == "on the days forecast again ensemble missed by 6 kW, calendar_weather by 8 kW: 25.0 % less"
    assert made.loc["gone", "why"].startswith("ensemble cannot be made any more")
    assert made.loc["short", "why"] == "too few days for calendar_weather to be judged"
    assert PROMOTIONS.conform(promotions(models[models["subject_id"] == "same"], before, ISSUED)).num_rows == 0


def test_a_forecast_keeps_the_model_of_the_run_before():
    clock, day = worlds.clock_of(60), date(2016, 5, 25)
    # so little noise that the week before says nearly as much as the like-day model: that leads, by less than what is asked of it
    loads = worlds.node_loads(clock, day - timedelta(days=46), day, noise=0.009)

    def published(champions=None, of=loads) -> pd.Series:
        made = forecast_demand(of, None, ["system"], clock, day, country="DE", champions=champions)
        assert (made.forecasts["model"] == made.models["model"].iloc[0]).all()
        return made.models.iloc[0]

    free = published()
    assert 1 - MARGIN < free["calendar_weather_mae_kw"] / free["naive_mae_kw"] < 1
    assert free["model"] == "calendar_weather"
    assert published({"system": "weekly_naive"})["model"] == "weekly_naive"
    assert published({"system": "calendar_weather"})["model"] == "calendar_weather"
    assert published({"another": "weekly_naive"})["model"] == "calendar_weather"
    noisy = worlds.node_loads(clock, day - timedelta(days=46), day, noise=0.3)  # here it leads by far
    assert published({"system": "weekly_naive"}, noisy)["model"] == "calendar_weather"

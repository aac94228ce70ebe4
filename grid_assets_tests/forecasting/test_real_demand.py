"""On real load the model beats the weekly naive, and its bands hold what they promise (figures: docs/forecasting.md)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from grid_assets_tests.forecasting import real_feeds


@pytest.mark.slow
def test_substation_with_persisted_weather(shared_data):
    first, last = date(2019, 3, 1), date(2019, 5, 31)
    clock = real_feeds.clock_of(first, last)
    features = real_feeds.substation_weather(shared_data, clock, first, last, "persistence")
    days = [date(2019, 5, 2) + timedelta(days=2 * n) for n in range(14)]
    made = real_feeds.scores(real_feeds.substation(shared_data), features, clock, days)
    assert len(made) == 14
    assert made["mae_kw"].mean() < 0.9 * made["naive_mae_kw"].mean()
    assert made["mape_pct"].mean() < 8.0
    assert 80.0 <= made["coverage_90_pct"].mean() <= 98.0


@pytest.mark.slow
def test_household_feeders_without_weather(shared_data):
    clock = real_feeds.clock_of(date(2009, 3, 1), date(2009, 5, 31))
    days = [date(2009, 5, 9) + timedelta(days=5 * n) for n in range(4)]
    made = real_feeds.scores(real_feeds.households(shared_data), None, clock, days, history=80)
    assert made["subject_id"].nunique() == 9
    total = made[made["subject_id"] == "system"]
    assert total["mae_kw"].mean() < 0.85 * total["naive_mae_kw"].mean()
    feeders = made[made["subject_id"] != "system"]
    assert feeders["mae_kw"].mean() < 0.9 * feeders["naive_mae_kw"].mean()
    assert 80.0 <= made["coverage_90_pct"].mean() <= 97.0

"""Prices on the site's clock: days of 23, 24 and 25 hours, weekends, midnight, periods that cannot be."""

from __future__ import annotations

from datetime import date, time
from zoneinfo import ZoneInfo

import pytest

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import Tariff, TariffPeriod
from grid_assets.market.tariffs import TariffError, price_series, tariff_named, validate
from grid_assets_tests.storage.small_site import small_site

CLOCK = SiteCalendar(ZoneInfo("Europe/Berlin"), 15, date(2016, 1, 1), None, 9, 2)


def period(start: str, end: str, price: float, days: str = "all") -> TariffPeriod:
    return TariffPeriod(start=time.fromisoformat(start), end=time.fromisoformat(end), days=days, price_per_kwh=price)  # type: ignore[arg-type]


TIME_OF_USE = Tariff(name="tou", price_per_kwh=0.2, periods=(period("17:00", "21:00", 0.4, "weekdays"), period("22:00", "06:00", 0.1)))


@pytest.mark.parametrize(
    ("day", "intervals", "low", "high"),
    [
        (date(2016, 5, 26), 96, 32, 16),  # a Thursday
        (date(2016, 5, 28), 96, 32, 0),  # a Saturday
        (date(2016, 3, 27), 92, 28, 0),  # clocks go forward: the night misses an hour
        (date(2016, 10, 30), 100, 36, 0),  # and back: it has one more
    ],
)
def test_prices_follow_the_local_clock(day, intervals, low, high):
    series = price_series(TIME_OF_USE, CLOCK, day)
    assert len(series) == intervals
    assert (series["price_per_kwh"] == 0.1).sum() == low == (series["tier"] == "low").sum()
    assert (series["price_per_kwh"] == 0.4).sum() == high == (series["tier"] == "high").sum()
    assert ((series["tier"] == "normal") == (series["price_per_kwh"] == 0.2)).all()
    local = series["start_utc"].dt.tz_convert("Europe/Berlin")
    assert (series.loc[(local.dt.hour >= 6) & (local.dt.hour < 17), "price_per_kwh"] == 0.2).all()


def test_a_period_begins_with_its_start_and_ends_before_its_end():
    series = price_series(TIME_OF_USE, CLOCK, date(2016, 5, 26))
    priced = dict(zip(series["start_utc"].dt.tz_convert("Europe/Berlin").dt.strftime("%H:%M"), series["price_per_kwh"], strict=True))
    assert [priced[one] for one in ("16:45", "17:00", "20:45", "21:00", "21:45", "22:00", "05:45", "06:00")] == [
        0.2,
        0.4,
        0.4,
        0.2,
        0.2,
        0.1,
        0.1,
        0.2,
    ]


def test_one_price_is_flat_and_a_whole_day_can_be_a_period():
    assert set(price_series(Tariff(name="flat", price_per_kwh=0.3), CLOCK, date(2016, 5, 26))["tier"]) == {"flat"}
    weekend = Tariff(name="weekend", price_per_kwh=0.3, periods=(period("00:00", "00:00", 0.1, "weekends"),))
    assert set(price_series(weekend, CLOCK, date(2016, 5, 28))["price_per_kwh"]) == {0.1}
    assert set(price_series(weekend, CLOCK, date(2016, 5, 27))["tier"]) == {"normal"}


@pytest.mark.parametrize(
    ("periods", "said"),
    [
        ((period("17:00", "21:00", 0.4), period("20:00", "22:00", 0.3)), r"17:00 to 21:00 \(all\) and 20:00 to 22:00 \(all\) overlap"),
        ((period("22:00", "06:00", 0.1), period("05:00", "07:00", 0.3, "weekdays")), "overlap"),
        ((period("17:10", "21:00", 0.4),), "has an edge within an interval of 15 minutes"),
        ((period("17:00", "17:00", 0.4),), "is empty"),
        ((period("17:00", "18:00", float("nan")),), "has the price nan"),
    ],
)
def test_periods_that_cannot_be(periods, said):
    with pytest.raises(TariffError, match=said):
        validate(Tariff(name="broken", price_per_kwh=0.2, periods=periods), 15)


def test_weekdays_and_weekends_never_overlap_and_neighbours_may_touch():
    validate(
        Tariff(
            name="fine", price_per_kwh=0.2, periods=(period("17:00", "21:00", 0.4, "weekdays"), period("17:00", "21:00", 0.3, "weekends"))
        ),
        15,
    )
    validate(Tariff(name="fine", price_per_kwh=0.2, periods=(period("17:00", "21:00", 0.4), period("21:00", "22:00", 0.3))), 15)


def test_a_price_that_is_none_and_a_tariff_that_is_not(tmp_path):
    with pytest.raises(TariffError, match="outside all periods is inf"):
        validate(Tariff(name="broken", price_per_kwh=float("inf")), 15)
    with pytest.raises(TariffError, match="no tariff 'night'; it has flat, time_of_use"):
        tariff_named(small_site(tmp_path)[0], "night")

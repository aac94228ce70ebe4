from datetime import date, timedelta

import numpy as np

from grid_assets.forecasting.ensemble.calendar_terms import PublicHolidays, day_terms

WEEKDAYS, FREE, FREE_WEEKEND, AFTER, BEFORE, AFTER_WEEKEND, BRIDGE = range(7), 7, 8, 9, 10, 11, 12


def terms(first: date, count: int, country="US", names=(), region=None):
    days = [first + timedelta(days=n) for n in range(count)]
    return day_terms(days, PublicHolidays.of(country, region, first, first), names)


def test_a_holiday_is_no_weekday_and_marks_the_days_around_it():
    made = terms(date(2019, 7, 3), 3)  # Independence Day 2019 is a Thursday, so the Friday is a bridge day
    assert made[:, FREE].tolist() == [0, 1, 0]
    assert made[1, list(WEEKDAYS)].sum() == 0
    assert made[0, BEFORE] == 1
    assert made[2, AFTER] == 1
    assert made[2, BRIDGE] == 1
    assert made[0, BRIDGE] == 0


def test_an_observed_holiday_is_the_same_holiday():
    made = terms(date(2021, 12, 24), 1, names=("Christmas Day", "Labor Day"))  # observed on the Friday
    names = made[0, BRIDGE + 1 : BRIDGE + 3]
    assert names.tolist() == [1, 0]


def test_a_region_has_holidays_of_its_own():
    cup = date(2014, 11, 4)  # Melbourne Cup Day
    assert terms(cup, 1, "AU", region="VIC")[0, FREE] == 1
    assert terms(cup, 1, "AU")[0, FREE] == 0


def test_an_unknown_country_has_no_holidays_and_says_so():
    for region in (None, "ATLANTIS"):
        found = PublicHolidays.of("XX", region, date(2019, 1, 1), date(2019, 1, 2))
        assert not found.known
        assert not found.names
        assert day_terms([date(2019, 1, 1)], found, ())[0, FREE] == 0


def test_an_unknown_region_has_its_countrys_holidays_and_says_so():
    first, last = date(2019, 1, 1), date(2019, 1, 2)
    found, national = PublicHolidays.of("AU", "ATLANTIS", first, last), PublicHolidays.of("AU", None, first, last)
    assert (found.known, found.region_known) == (True, False)
    assert found.names == national.names
    assert national.region_known
    assert PublicHolidays.of("AU", "VIC", first, last).region_known
    assert day_terms([first], found, ())[0, FREE] == 1


def test_a_day_has_the_same_terms_whichever_days_are_asked_with_it():
    names = ("Christmas Day",)
    np.testing.assert_array_equal(terms(date(2019, 12, 20), 10, names=names)[5], terms(date(2019, 12, 25), 1, names=names)[0])

"""Site files: what is wrong is said with its key and line."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from pydantic import BaseModel

from grid_assets.foundation.site import Site, SiteError, _sections_in, load_site
from grid_assets.foundation.site_sections import COUNTRIES
from grid_assets_tests.conftest import SITES

GOOD = """\
name = "ours"
title = "Our town"
time_zone = "Europe/Berlin"
country = "DE"
currency = "EUR"
interval_minutes = 15
state = "${OUR_STATE:-state}"

[calendar]
mode = "replay"
first_day = 2016-03-20
last_day = 2016-06-05
default_day = 2016-05-24

[registers]
folder = "registers"

[[readings]]
name = "head_end"
folder = "${OUR_LANDING}/in"
pattern = "reads_{received}.csv"
columns = { meter_id = "meter", read_utc = "at", value = "value", unit = "unit" }

[[readings]]
name = "feeders"
folder = "wide"
pattern = "{received}.csv"
unit = "MW"
time_column = "at"
wide = { a = "meter-a" }
"""


def load(tmp_path: Path, text: str, **environment: str):
    path = tmp_path / "ours.toml"
    path.write_text(text)
    return load_site(path, {"OUR_LANDING": "/landing", **environment})


def fault(tmp_path: Path, old: str, new: str, **environment: str) -> str:
    assert old in GOOD
    with pytest.raises(SiteError) as raised:
        load(tmp_path, GOOD.replace(old, new, 1), **environment)
    return str(raised.value)


def line_of(text: str, changed: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), 1) if changed in line)


def test_paths_are_absolute_and_variables_filled_in(tmp_path: Path):
    site = load(tmp_path, GOOD)
    assert site.state == tmp_path / "state"
    assert site.readings[0].folder == Path("/landing/in")
    assert site.readings[1].folder == tmp_path / "wide"
    assert site.registers.folder == tmp_path / "registers"


def test_a_relative_value_of_a_variable_is_taken_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert load(tmp_path, GOOD, OUR_LANDING="../elsewhere").readings[0].folder == tmp_path / "elsewhere" / "in"


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ('time_zone = "Europe/Berlin"', 'time_zone = "Europe/Berlino"', "time_zone", "is not a time zone"),
        ("interval_minutes = 15", "interval_minutes = 7", "interval_minutes", "divisor"),
        ("interval_minutes = 15", "intervall_minutes = 15", "intervall_minutes", "unknown key"),
        ('unit = "MW"', 'unit = "megawatt"', "readings[2].unit", "unknown unit"),
        ('mode = "replay"', 'mode = "reply"', "calendar.mode", "'live' or 'replay'"),
        ("first_day = 2016-03-20", "first_day = 2016-13-20", None, "not TOML"),
        ("first_day = 2016-03-20", 'first_day = "soon"', "calendar.first_day", "date"),
        ("wide = { a", "wid = { a", "readings[2].wid", "unknown key"),
        (', unit = "unit" }', " }", "readings[1]", "the unit is not declared"),
        ("reads_{received}.csv", "reads.csv", "readings[1]", "never from the disk's clock"),
        ('country = "DE"', 'country = "Germany"', "country", "expected two capitals of ISO 3166"),
        ('country = "DE"', 'country = "UK"', "country", "did you mean GB?"),
        ('country = "DE"', 'country = "XX"', "country", "'XX' is not a country"),
    ],
)
def test_a_fault_names_its_key_and_line(tmp_path: Path, old: str, new: str, key: str | None, said: str):
    message = fault(tmp_path, old, new)
    assert said in message
    if key:
        assert f": {key}" in message
        changed = GOOD.replace(old, new, 1)
        expected = line_of(changed, "[[readings]]") if key.startswith("readings[1]") else line_of(changed, new.splitlines()[0])
        assert f"line {expected}:" in message


def test_every_fault_has_its_own_line_in_the_message(tmp_path: Path):
    text = GOOD.replace('country = "DE"', "country = 3").replace('unit = "MW"', 'unit = "x"').replace('title = "Our town"\n', "")
    with pytest.raises(SiteError) as raised:
        load(tmp_path, text)
    lines = str(raised.value).splitlines()
    assert len(lines) == 3
    assert any("title: is missing" in line for line in lines)


def test_a_variable_without_value_or_default_is_named_with_its_line(tmp_path: Path):
    (tmp_path / "ours.toml").write_text(GOOD)
    with pytest.raises(SiteError, match=rf"line {line_of(GOOD, 'OUR_LANDING')}: readings\[1\].folder: the variable OUR_LANDING is not set"):
        load_site(tmp_path / "ours.toml", {})


def test_a_file_that_is_not_there_says_so(tmp_path: Path):
    with pytest.raises(SiteError, match="cannot be read"):
        load_site(tmp_path / "none.toml", {})


def test_unknown_tariffs_and_programmes_are_refused(tmp_path: Path):
    market = '\n[[tariffs]]\nname = "flat"\nprice_per_kwh = 0.3\n\n[market]\nbase_tariff = "flat"\ncandidate_tariff = "tou"\n'
    with pytest.raises(SiteError, match=r"market.candidate_tariff: 'tou' is not among the tariffs \['flat'\]"):
        load(tmp_path, GOOD + market)
    with pytest.raises(SiteError, match=f"line {line_of(GOOD + market, 'candidate_tariff')}: market.candidate_tariff"):
        load(tmp_path, GOOD + market)


def test_a_live_calendar_follows_the_clock(tmp_path: Path):
    live = GOOD.replace('mode = "replay"', 'mode = "live"').replace("last_day = 2016-06-05\ndefault_day = 2016-05-24\n", "")
    site = load(tmp_path, live)
    assert site.default_day(datetime(2016, 5, 24, 23, 30, tzinfo=UTC)) == date(2016, 5, 24)  # the 25th has begun in Berlin
    with pytest.raises(SiteError, match="leave out last_day"):
        load(tmp_path, GOOD.replace('mode = "replay"', 'mode = "live"'))


FULL = (
    GOOD
    + """
[weather]
station_id = "here"
latitude = 50.0
longitude = 8.0
[weather.observations]
folder = "weather"
pattern = "seen.parquet"
columns = { start_utc = "t", temperature_degc = "a" }
[weather.forecasts]
folder = "weather"
pattern = "told.parquet"
[weather.forecasts.columns]
issued_utc = "i"
start_utc = "t"
ghi_w_m2 = ["g", "h"]

[network]
source = "cigre_mv"
minimum_vm_pu = 0.94
maximum_vm_pu = 1.06

[storage]
import_price_per_mwh = 90.0
export_price_per_mwh = 40.0

[[tariffs]]
name = "flat"
price_per_kwh = 0.28

[[tariffs]]
name = "tou"
price_per_kwh = 0.27
[[tariffs.periods]]
start = "22:00"
end = "00:00"
price_per_kwh = 0.22
[[tariffs.periods]]
start = "00:00"
end = "06:00"
price_per_kwh = 0.21
[[tariffs.periods]]
start = "17:00"
end = "20:00"
days = "weekdays"
price_per_kwh = 0.36
[[tariffs.periods]]
start = "17:00"
end = "20:00"
days = "weekends"
price_per_kwh = 0.3
[[tariffs.periods]]
start = "20:00"
end = "22:00"
price_per_kwh = 0.25

[[programmes]]
name = "large"
effective_from = 2016-01-01
rate_per_kwh = "0.45"
payment_cap_ratio = 1.2
lookback_days = 45
minimum_baseline_days = 5
"""
)


def test_a_full_site_loads(tmp_path: Path):
    site = load(tmp_path, FULL)
    assert site.programmes[0].rate_per_kwh == "0.45"
    assert len(site.tariffs[1].periods) == 5


@pytest.mark.parametrize(
    ("old", "new", "key", "said"),
    [
        ('rate_per_kwh = "0.45"', 'rate_per_kwh = "0,45"', "programmes[1].rate_per_kwh", "a decimal number such as 0.45"),
        ('rate_per_kwh = "0.45"', 'rate_per_kwh = "-0.45"', "programmes[1].rate_per_kwh", "above 0"),
        ('rate_per_kwh = "0.45"', 'rate_per_kwh = "0.00"', "programmes[1].rate_per_kwh", "above 0"),
        ('rate_per_kwh = "0.45"', "rate_per_kwh = 0.45", "programmes[1].rate_per_kwh", "in quotation marks"),
        ("payment_cap_ratio = 1.2", "payment_cap_ratio = 0.0", "programmes[1].payment_cap_ratio", "greater than 0"),
        ("payment_cap_ratio = 1.2", "payment_cap_ratio = inf", "programmes[1].payment_cap_ratio", "finite"),
        ("lookback_days = 45", "lookback_days = 0", "programmes[1].lookback_days", "greater than 0"),
        ("lookback_days = 45", "lookback_days = 4", "programmes[1].lookback_days", "4: expected at least minimum_baseline_days, 5"),
        ("baseline_days = 5", "baseline_days = 0", "programmes[1].minimum_baseline_days", "greater than or equal to 1"),
        ("baseline_days = 5", "baseline_days = 11", "programmes[1].minimum_baseline_days", "less than or equal to 10"),
        ("minimum_vm_pu = 0.94", "minimum_vm_pu = 1.06", "network.minimum_vm_pu", "expected less than maximum_vm_pu, 1.06"),
        (
            "export_price_per_mwh = 40.0",
            "export_price_per_mwh = 100.0",
            "storage.export_price_per_mwh",
            "at most import_price_per_mwh, 90.0",
        ),
        ('temperature_degc = "a"', 'temperature = "a"', "weather.observations.columns.temperature", "unknown name; expected start_utc"),
        ('columns = { start_utc = "t", temp', "columns = { temp", "weather.observations.columns", "start_utc is missing"),
        ('temperature_degc = "a"', 'issued_utc = "a"', "weather.observations.columns.issued_utc", "belongs to [weather.forecasts]"),
        ('temperature_degc = "a"', "temperature_degc = []", "weather.observations.columns.temperature_degc", "expected a column"),
        ('issued_utc = "i"', 'issued = "i"', "weather.forecasts.columns.issued", "unknown name"),
        ('issued_utc = "i"', 'issued_utc = ["i"]', "weather.forecasts.columns.issued_utc", "expected one column, not a list"),
        ("price_per_kwh = 0.27", "price_per_kwh = nan", "tariffs[2].price_per_kwh", "expected a number"),
        ('end = "06:00"', 'end = "06:10"', "tariffs[2].periods[2].end", "the edge of an interval of 15 minutes"),
    ],
)
def test_a_number_or_name_that_cannot_be_is_refused_at_its_line(tmp_path: Path, old: str, new: str, key: str, said: str):
    assert old in FULL
    changed = FULL.replace(old, new, 1)
    with pytest.raises(SiteError) as raised:
        load(tmp_path, changed)
    assert f"line {line_of(changed, new)}: {key}: " in str(raised.value)
    assert said in str(raised.value)


def test_forecasts_need_an_issue_time(tmp_path: Path):
    changed = FULL.replace('issued_utc = "i"\n', "")
    with pytest.raises(SiteError, match=rf"line {line_of(changed, '[weather.forecasts.columns]')}: .*columns: issued_utc is missing"):
        load(tmp_path, changed)


@pytest.mark.parametrize(
    ("old", "new", "periods"),
    [
        ('days = "weekends"', 'days = "all"', (4, 3)),
        ('days = "weekends"', 'days = "weekdays"', (4, 3)),
        ('end = "06:00"', 'end = "17:15"', (3, 2)),
        ('end = "00:00"', 'end = "01:00"', (2, 1)),
        ('start = "22:00"\nend = "00:00"', 'start = "00:00"\nend = "00:00"', (2, 1)),
    ],
)
def test_overlapping_tariff_periods_are_refused(tmp_path: Path, old: str, new: str, periods: tuple[int, int]):
    assert old in FULL
    changed = FULL.replace(old, new, 1)
    with pytest.raises(SiteError) as raised:
        load(tmp_path, changed)
    headers = [n for n, line in enumerate(changed.splitlines(), 1) if line == "[[tariffs.periods]]"]
    later, earlier = periods
    assert f"line {headers[later - 1]}: tariffs[2].periods[{later}]: " in str(raised.value)
    assert f"overlaps periods[{earlier}], " in str(raised.value)


def test_a_misspelt_section_is_told_first_and_alone(tmp_path: Path):
    changed = FULL.replace("[weather]", "[wheather]")
    with pytest.raises(SiteError) as raised:
        load(tmp_path, changed)
    told = str(raised.value).splitlines()
    assert len(told) == 1
    assert f"line {line_of(changed, '[wheather]')}: wheather: unknown key; did you mean weather?" in told[0]


def test_an_unknown_key_hides_no_missing_one_of_a_section_that_is_there(tmp_path: Path):
    changed = FULL.replace('title = "Our town"', 'titel = "Our town"').replace("latitude = 50.0\n", "").replace('name = "head_end"\n', "")
    with pytest.raises(SiteError) as raised:
        load(tmp_path, changed)
    told = [one.split(": ", 1)[1] for one in str(raised.value).splitlines()]
    assert told == [
        "titel: unknown key; did you mean title?", "title: is missing", "readings[1].name: is missing", "weather.latitude: is missing",
    ]  # fmt: skip


def test_faults_come_in_the_order_of_their_lines(tmp_path: Path):
    changed = FULL.replace("payment_cap_ratio = 1.2", "payment_cap_ratio = -1").replace("latitude = 50.0", "latitude = 500")
    changed = changed.replace('unit = "MW"', 'unit = "x"').replace("interval_minutes = 15", 'interval_minutes = "x"')
    with pytest.raises(SiteError) as raised:
        load(tmp_path, changed)
    lines = [int(one.split("line ")[1].split(":")[0]) for one in str(raised.value).splitlines()]
    assert len(lines) == 4
    assert lines == sorted(lines)


def keys_of(model: type[BaseModel]) -> set[str]:
    sections = [found for field in model.model_fields.values() for found in _sections_in(field.annotation)]
    return set(model.model_fields).union(*(keys_of(one) for one in sections))


def test_every_key_is_explained_in_a_shipped_site_or_on_the_page_of_sites():
    told = "\n".join(path.read_text() for path in [*SITES.glob("*.toml"), SITES.parents[1] / "docs" / "sites.md"])
    unexplained = [
        key
        for key in sorted(keys_of(Site))
        if not re.search(rf"^[# ]*{key} = |^\[+([a-z_]+\.)?{key}\]|[{{,] {key} = |`([a-z]+\.)?{key}`", told, re.M)
    ]
    assert unexplained == []


def test_every_country_has_a_calendar_of_holidays():
    import holidays

    assert set(holidays.list_supported_countries(include_aliases=False)) >= COUNTRIES > {"DE", "GB", "XK"}


@pytest.mark.parametrize("path", sorted(SITES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_site_loads(path: Path, tmp_path: Path):
    site = load_site(path, {**os.environ, "GRID_ASSETS_STATE": str(tmp_path), "GRID_ASSETS_SHARED": str(tmp_path)})
    assert site.name == path.stem
    assert site.state == tmp_path / path.stem

"""Site files: what is wrong is said with its key and line."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from grid_assets.foundation.site import SiteError, load_site
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
        ('country = "DE"', 'country = "Germany"', "country", "pattern"),
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


@pytest.mark.parametrize("path", sorted(SITES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_site_loads(path: Path, tmp_path: Path):
    site = load_site(path, {**os.environ, "GRID_ASSETS_STATE": str(tmp_path), "GRID_ASSETS_SHARED": str(tmp_path)})
    assert site.name == path.stem
    assert site.state == tmp_path / path.stem

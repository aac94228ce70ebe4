from __future__ import annotations

from datetime import date, timedelta

import pandas as pd
import pytest

from grid_assets.demand_response.drafting import DraftError, behind, constraint_named, constraints_of, day_of_key, draft, windows
from grid_assets.demand_response.events import (
    DemandResponseFileError,
    UnknownEventError,
    days_of_events,
    event_named,
    participants_of,
    programme_terms,
    read_events,
    read_participants,
    read_responses,
)
from grid_assets_tests.demand_response.site import EVENTS_CSV, PARTICIPANTS_CSV, meters, site_at


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        (",M1,", ",M9,", r"participants.csv, row 2: meter 'M9' is not a load meter"),
        ("P2,peak", "P2,peek", r"row 3: programme 'peek' is not in the site file; it has \['other', 'peak'\]"),
        ("Bakery,8", "Bakery,-8", r"row 4: committed_kw = '-8'; expected a number above 0"),
        (
            "2015-01-01T00:00:00Z\nP2",
            "2015-01-01T00:00:00\nP2",
            r"row 2: valid_from_utc = '2015-01-01T00:00:00' is not a time with its offset",
        ),
        ("P4,", "P 4,", r"row 5: participant_id = 'P 4'; expected letters"),
        ("P2,", "P1,", r"row 3: P1 has two rows with the same valid_from_utc"),
        ("ACC-3", "", r"row 4: account is empty"),
        ("committed_kw,", "", r"columns committed_kw are missing"),
    ],
)
def test_faults_of_participants_name_file_and_row(tmp_path, wrong, right, said):
    assert wrong in PARTICIPANTS_CSV
    site = site_at(tmp_path, participants=PARTICIPANTS_CSV.replace(wrong, right, 1))
    with pytest.raises(DemandResponseFileError, match=said):
        read_participants(site.demand_response.folder, site, meters())


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("2016-05-24T17:00:00Z,16", "2016-05-24T14:00:00Z,16", r"row 3: end_utc 2016-05-24T14:00Z must lie after start_utc"),
        ("2016-05-24T15:00:00Z", "2016-05-24T15:07:00Z", r"must lie on the site's 15-minute intervals"),
        ("EV-1", "EV-0", r"row 3: event EV-0 occurs twice"),
        ("EV-1", "EV/1", r"row 3: event_id = 'EV/1'"),
        ("EV-1,peak", "EV-1,peek", r"row 3: programme 'peek'"),
        ("2016-05-24T08:00:00Z", "2016-05-24T16:00:00Z", r"notified_utc lies after start_utc"),
        ("2016-05-24T08:00:00Z", "soon", r"notified_utc = 'soon' is not a time"),
        (",16,2016-05-24", ",nan,2016-05-24", r"row 3: target_kw = 'nan'"),
    ],
)
def test_faults_of_events_name_file_and_row(tmp_path, wrong, right, said):
    assert wrong in EVENTS_CSV
    site = site_at(tmp_path, events=EVENTS_CSV.replace(wrong, right))
    with pytest.raises(DemandResponseFileError, match=said):
        read_events(site.demand_response.folder, site)


def test_missing_unreadable_and_unknown(tmp_path):
    site = site_at(tmp_path)
    with pytest.raises(UnknownEventError, match="EV-0, EV-1"):
        event_named(site, "EV-9")
    folder = site.demand_response.folder
    (folder / "responses.csv").write_text("event_id,participant_id,response\nEV-1,P1,maybe\n")
    with pytest.raises(DemandResponseFileError, match=r"responses.csv, row 2: response 'maybe'"):
        read_responses(folder)
    (folder / "events.csv").write_text("")
    with pytest.raises(DemandResponseFileError, match="cannot be read as CSV"):
        read_events(folder, site)
    (folder / "events.csv").unlink()
    with pytest.raises(DemandResponseFileError, match="is missing"):
        read_events(folder, site)


def test_terms_and_participants_are_those_in_force(tmp_path):
    changed = PARTICIPANTS_CSV + "P1,other,M1,Cold store,9,ACC-1,2016-05-20T00:00:00Z\n"
    site = site_at(tmp_path, participants=changed)
    people = read_participants(site.demand_response.folder, site, meters())
    events = read_events(site.demand_response.folder, site)
    assert list(participants_of(events["EV-0"], people)["participant_id"]) == ["P1", "P2", "P3"]
    assert list(participants_of(events["EV-1"], people)["participant_id"]) == ["P2", "P3"]
    shared = people.assign(meter_id="M1")
    with pytest.raises(DemandResponseFileError, match="share a meter"):
        participants_of(events["EV-0"], shared)
    assert programme_terms(site, "peak", date(2016, 5, 31)).rate_per_kwh == "0.15"
    assert programme_terms(site, "peak", date(2016, 6, 1)).rate_per_kwh == "0.20"
    with pytest.raises(DemandResponseFileError, match="no version in force on 2014-01-01"):
        programme_terms(site, "peak", date(2014, 1, 1))
    assert days_of_events(events, site.clock, "EV-1") == {date(2016, 5, 19)}


def violation(**given):
    return pd.DataFrame(
        [{"element_id": "L1", "kind": "overload", "scenario": "expected", "start_utc": pd.Timestamp("2016-05-24T16:00Z"), "value": 125.0, "limit": 100.0,
          "feeder_id": "MV feeder/1", **given}]
    )  # fmt: skip


def test_constraint_keys_fit_a_partition_and_lead_back():
    (one,) = constraints_of(violation(), date(2016, 5, 22))
    assert one.key == "2016-05-22.MV_feeder_1.overload"
    assert constraint_named(one.key, violation()).feeder_id == "MV feeder/1"
    (whole,) = constraints_of(violation(feeder_id=None), date(2016, 5, 22))
    assert (whole.key, whole.feeder_id) == ("2016-05-22.network.overload", None)
    with pytest.raises(DraftError, match="names no day run"):
        day_of_key("feeder")


def test_a_violation_without_flow_or_load_is_an_error():
    site_terms = None
    for kind, value, limit, said in (("overload", 125.0, 100.0, "has no flow"), ("undervoltage", 0.94, 0.95, "has no load of MV feeder/1")):
        (one,) = constraints_of(violation(kind=kind, value=value, limit=limit), date(2016, 5, 22))
        flows = pd.DataFrame(columns=["branch_id", "scenario", "start_utc", "p_mw"]).astype({"start_utc": "datetime64[us, UTC]"})
        loads = pd.DataFrame(columns=["node_id", "start_utc", "mean_kw"])
        with pytest.raises(DraftError, match=said):
            draft(one, flows, loads, pd.DataFrame(), site_terms, timedelta(minutes=15), {})


def test_windows_join_what_is_close():
    starts = pd.Series(pd.to_datetime(["2016-05-24T16:00Z", "2016-05-24T16:45Z", "2016-05-24T18:00Z"]))
    spans = windows(starts, timedelta(minutes=15))
    assert [(a.strftime("%H:%M"), b.strftime("%H:%M")) for a, b in spans] == [("16:00", "17:00"), ("18:00", "18:15")]


def test_participants_behind_a_feeder_by_node_or_bus():
    people = pd.DataFrame({"participant_id": ["P1", "P3"], "meter_id": ["M1", "M3"], "committed_kw": 1.0})
    known = meters()
    known.loc[known["meter_id"] == "M3", "bus_id"] = "B3"
    buses = pd.DataFrame({"bus_id": ["B3"], "feeder_id": ["F9"]})
    assert list(behind("F1", people, known, buses)["participant_id"]) == ["P1"]
    assert list(behind("F9", people, known, buses)["participant_id"]) == ["P3"]
    assert list(behind(None, people, known, buses)["participant_id"]) == ["P1", "P3"]

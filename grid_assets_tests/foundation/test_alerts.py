"""The store of alerts: runs again, late closings, withdrawals, and acknowledgements that nothing takes away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from grid_assets.foundation.alerts import ALERT_LOG, AlertError, AlertStore, FoundAlert

NOW = datetime(2026, 3, 5, 8, tzinfo=UTC)
OPENED = datetime(2026, 3, 3, 22, tzinfo=UTC)
ONE, TWO, THREE = "2026-03-03", "2026-03-04", "2026-03-05"


def found(subject: str = "f1", closed: datetime | None = None, evidence: str = "seen") -> FoundAlert:
    return FoundAlert(f"area_outage:{subject}", "area_outage", subject, OPENED, closed, "critical", evidence)


@pytest.fixture
def store(tmp_path):
    return AlertStore(f"sqlite:///{tmp_path / 'ledger.sqlite'}")


def only(store: AlertStore):
    (row,) = store.read().to_dict("records")
    return row


def test_the_same_run_again_changes_nothing_and_the_log_fits_its_declaration(store):
    store.record("metering", ONE, [found(), found("f2", OPENED + timedelta(hours=1))], NOW)
    before = store.read()
    store.record("metering", ONE, [found("f2", OPENED + timedelta(hours=1)), found()], NOW + timedelta(hours=1))
    assert store.read().equals(before)
    assert ALERT_LOG.faults(ALERT_LOG.conform(before)) == []
    assert store.read(only_open=True)["subject"].tolist() == ["f1"]
    assert store.read(area="network").empty


def test_a_later_day_closes_and_an_earlier_one_made_again_does_not_reopen(store):
    closed = OPENED + timedelta(hours=5)
    store.record("metering", ONE, [found()], NOW)
    store.record("metering", TWO, [found(closed=closed, evidence="it is over")], NOW)
    store.record("metering", ONE, [found(evidence="late data")], NOW)
    assert (only(store)["closed_utc"], only(store)["evidence"]) == (closed, "it is over")
    assert (only(store)["first_partition"], only(store)["last_partition"]) == (ONE, TWO)
    sooner = OPENED + timedelta(minutes=30)
    store.record("metering", ONE, [found(closed=sooner, evidence="late data")], NOW)
    assert only(store)["closed_utc"] == sooner  # late data closed it on the first day already


def test_an_alert_that_is_no_longer_found_is_withdrawn_and_comes_back(store):
    store.record("metering", ONE, [found()], NOW)
    store.record("metering", TWO, [], NOW)  # not the day that found it: it may have been closed by then
    assert only(store)["withdrawn_utc"] is not None
    assert str(only(store)["withdrawn_utc"]) == "NaT"
    store.record("metering", ONE, [], NOW)
    assert only(store)["withdrawn_utc"] == NOW
    assert store.read(only_open=True).empty
    store.record("metering", ONE, [found()], NOW)
    assert str(only(store)["withdrawn_utc"]) == "NaT"


def test_nothing_takes_an_acknowledgement_away(store):
    store.record("metering", ONE, [found()], NOW)
    store.acknowledge("area_outage:f1", " Ana ", NOW, "crew is on its way")
    store.acknowledge("area_outage:f1", "Ben", NOW + timedelta(hours=1))
    store.record("metering", ONE, [found(evidence="other")], NOW)
    store.record("metering", ONE, [], NOW)
    store.record("metering", TWO, [found(closed=NOW)], NOW)
    row = only(store)
    assert (row["acknowledged_by"], row["acknowledged_utc"], row["note"]) == ("Ana", NOW, "crew is on its way")


def test_what_cannot_be_is_told(store):
    with pytest.raises(AlertError, match="no stored alert"):
        store.acknowledge("area_outage:f9", "Ana", NOW)
    with pytest.raises(AlertError, match="give a name"):
        store.acknowledge("area_outage:f1", " ", NOW)
    with pytest.raises(AlertError, match="each alert once"):
        store.record("metering", ONE, [found(), found()], NOW)
    odd = FoundAlert("x", "x", "x", OPENED, None, "bad", "")
    with pytest.raises(AlertError, match="severity"):
        store.record("metering", ONE, [odd], NOW)


def test_an_odd_subject_is_stored_as_it_is(store):
    store.record("metering", ONE, [found("O'Neil; drop table alerts --")], NOW)
    assert only(store)["subject"] == "O'Neil; drop table alerts --"


def test_recording_at_once_loses_nothing(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: AlertStore(url).record("metering", f"{n}", [found(f"f{n}")], NOW), range(30)))
    assert len(AlertStore(url).read(only_open=True)) == 30

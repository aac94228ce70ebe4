"""Who is asked to help: those that hang on the feeder in the switching state of the hour."""

from __future__ import annotations

import pandas as pd

from grid_assets.demand_response import drafting


def test_buses_are_those_of_the_switching_state_then_in_force():
    times = pd.to_datetime(["2016-05-01T00:00", "2016-05-26T12:00"], utc=True)
    states = pd.DataFrame({"topology_hash": ["a", "b"], "valid_from_utc": times})
    buses = pd.DataFrame({"topology_hash": ["a", "b"], "bus_id": ["one", "one"], "feeder_id": ["west", "east"]})

    def feeder_at(text: str) -> list[str]:
        return drafting.buses_at(pd.Timestamp(text, tz="UTC"), buses, states)["feeder_id"].tolist()

    assert feeder_at("2016-05-26T11:45") == ["west"]
    assert feeder_at("2016-05-26T12:00") == ["east"]
    assert feeder_at("2016-04-01") == ["west"]
    assert drafting.buses_at(times[0], buses.iloc[:0], states.iloc[:0]).empty

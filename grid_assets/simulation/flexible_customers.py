"""The demo's demand response: who takes part, which events there were, and what each really delivered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from grid_assets.foundation.atomic_files import put_atomically
from grid_assets.simulation.simbench_network import SimulatedGrid

EVENTS = (
    ("lc-2016-04-27", "large_customers", "2016-04-27 17:00", "2016-04-27 19:00", "evening reduction"),
    ("lc-2016-05-11", "large_customers", "2016-05-11 11:00", "2016-05-11 13:00", "midday reduction"),
    ("de-2016-05-19", "district_evening", "2016-05-19 17:30", "2016-05-19 20:00", "evening peak"),
    ("de-2016-05-31", "district_evening", "2016-05-31 18:00", "2016-05-31 20:00", "evening peak"),
)
"""Id, programme, start and end on the site's clock, label: working days, none a holiday."""
PARTICIPANTS_PER_PROGRAMME = 7
COMMITTED_SHARE = 0.4
"""Of the customer's mean load. A quarter drowned in the quarter-hourly noise of single SimBench profiles."""
NOTICE = pd.Timedelta(hours=20)
LEAST_DELIVERY, MOST_DELIVERY = 0.5, 1.25


def participants(grid: SimulatedGrid) -> pd.DataFrame:
    """The rows of participants.csv: the largest single customers, and the largest districts, a part of their mean each."""
    loads = grid.meters["kind"] == "load"
    ranked = (
        grid.meters[loads].assign(mean_kw=grid.power_kw[:, loads.to_numpy()].mean(0)).sort_values(["mean_kw", "meter_id"], ascending=False)
    )
    large = ranked[~ranked["customer_class"].isin(["lv_district", "household", "hospital"])].head(4)
    districts = ranked[ranked["customer_class"] == "lv_district"]
    chosen = {"large_customers": pd.concat([large, districts.iloc[: PARTICIPANTS_PER_PROGRAMME - len(large)]]),
              "district_evening": districts.iloc[PARTICIPANTS_PER_PROGRAMME - len(large) :].head(PARTICIPANTS_PER_PROGRAMME)}  # fmt: skip
    rows = [
        (f"{programme[:2]}-{place + 1:02d}", programme, one.meter_id, f"{one.customer_class} {one.meter_id}",
         round(COMMITTED_SHARE * one.mean_kw, 1), f"DEMO-{one.meter_id}", "2016-01-01T00:00:00Z")
        for programme, group in chosen.items() for place, one in enumerate(group.itertuples())
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["participant_id", "programme", "meter_id", "title", "committed_kw", "account", "valid_from_utc"])


def events(members: pd.DataFrame, zone: str) -> pd.DataFrame:
    """The rows of events.csv; the target is what the programme's participants committed. Times are aware UTC."""
    committed = members.groupby("programme")["committed_kw"].sum()
    rows = []
    for event, programme, start, end, label in EVENTS:
        begin, finish = (pd.Timestamp(one, tz=zone).tz_convert("UTC") for one in (start, end))
        rows.append((event, programme, begin, finish, round(committed[programme], 1), begin - NOTICE, label))
    return pd.DataFrame(rows, columns=["event_id", "programme", "start_utc", "end_utc", "target_kw", "notified_utc", "label"])


def deliveries(members: pd.DataFrame, called: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The truth behind the readings: what each participant really left out in each event, 0.5 to 1.25 of its commitment."""
    made = called.merge(members[["participant_id", "programme", "meter_id", "committed_kw"]], on="programme")
    share = np.random.default_rng([seed, 1]).uniform(LEAST_DELIVERY, MOST_DELIVERY, len(made))
    return made.assign(delivered_kw=(share * made["committed_kw"]).round(3))[
        ["event_id", "participant_id", "meter_id", "start_utc", "end_utc", "committed_kw", "delivered_kw"]
    ]


def write_demand_response(members: pd.DataFrame, called: pd.DataFrame, folder: Path) -> None:
    """participants.csv and events.csv."""
    times = {name: called[name].dt.strftime("%Y-%m-%dT%H:%M:%SZ") for name in ("start_utc", "end_utc", "notified_utc")}
    for name, frame in (("participants", members), ("events", called.assign(**times))):
        put_atomically(folder / f"{name}.csv", frame.to_csv(index=False, lineterminator="\n").encode())

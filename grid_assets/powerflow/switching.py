"""Switching states over time: a network as its switches, branches and taps stand after each switching event."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pandas as pd

from grid_assets.powerflow.gate import ISLANDS, NO_SUPPLY, AdmittedNetwork, NetworkError, admit
from grid_assets.powerflow.topology import hash_of

OPEN, CLOSE, TAP = "open", "close", "tap"
ACTIONS = (OPEN, CLOSE, TAP)
KIND_OF_SWITCHED = {"line": "l", "trafo": "t", "impedance": None}


class SwitchingError(NetworkError):
    """A switching event that cannot be: out of order, or of an element or a position that the network does not have."""


@dataclass(frozen=True)
class SwitchingEvent:
    """From ``valid_from`` on (UTC) an element stands otherwise."""

    valid_from: pd.Timestamp
    element: str
    """Name of a switch, a line, a transformer or an impedance."""
    action: str
    """open, close, or tap: of a transformer, to ``position``. A branch with switches is opened and closed by all of them."""
    position: int | None = None
    reason: str = ""
    where: str = ""
    """File and line, for errors."""

    def told(self) -> str:
        step = f" {self.position}" if self.action == TAP else ""
        return f"{self.action} {self.element}{step}" + (f" ({self.reason})" if self.reason else "")


@dataclass(frozen=True)
class Version:
    """A switching state, in force from ``valid_from`` to ``valid_to`` (excluded; None: on and on)."""

    valid_from: pd.Timestamp
    valid_to: pd.Timestamp | None
    topology_hash: str
    admitted: AdmittedNetwork
    because: str
    """The events that made it, in words; empty for the network as it was read."""


def versions(admitted: AdmittedNetwork, events: Sequence[SwitchingEvent], first: pd.Timestamp) -> list[Version]:
    """The states that the events make of a network, in order; the first holds from ``first`` on (UTC), with all events up to then.

    Raises SwitchingError for events out of order, unknown elements and positions; NetworkError where a state does not pass the gate.
    """
    for before, after in pairwise(events):
        if after.valid_from < before.valid_from:
            raise SwitchingError(f"{after.where}{after.told()} at {after.valid_from:%Y-%m-%d %H:%M} UTC comes after an event of "
                                 f"{before.valid_from:%Y-%m-%d %H:%M} UTC; expected events in the order of their times")  # fmt: skip
    net = copy.deepcopy(admitted.net)
    at_first = [one for one in events if one.valid_from <= first]
    states = [(first, switched(net, at_first, admitted.source, admitted.repairs))]
    for instant, group in groupby(events[len(at_first) :], key=lambda one: one.valid_from):
        states.append((instant, switched(net, list(group), admitted.source, admitted.repairs)))
        net = copy.deepcopy(net)
    ends = [start for start, _ in states[1:]]
    return [
        Version(start, end, hash_of(state.net), state, because)
        for (start, (state, because)), end in zip(states, [*ends, None], strict=True)
    ]


def switched(net: Any, events: Sequence[SwitchingEvent], source: str, repairs: Sequence[str] = ()) -> tuple[AdmittedNetwork, str]:
    """The network after some events, through the gate again, and what they did, in words. Changes ``net``.

    ``repairs``: what the gate said before; who hangs on buses without a supply it says anew.
    """
    said = [_apply(net, event) for event in events]
    after = admit(net, source)
    return replace(after, repairs=(*(one for one in repairs if NO_SUPPLY not in one and ISLANDS not in one), *after.repairs)), "; ".join(
        said
    )


def version_of(known: Sequence[Version], start_utc: pd.DatetimeIndex) -> np.ndarray:
    """Which of the versions is in force at each instant [instants]; the first one before all others."""
    begins = pd.DatetimeIndex([one.valid_from for one in known])
    return np.maximum(begins.searchsorted(start_utc, side="right") - 1, 0)


def with_branch(admitted: AdmittedNetwork, branch: str, action: str) -> AdmittedNetwork:
    """The network with one branch opened or closed."""
    return _with(admitted, SwitchingEvent(pd.Timestamp(0, tz="UTC"), branch, action))


def with_tap(admitted: AdmittedNetwork, transformer: str, position: int) -> AdmittedNetwork:
    """The network with one transformer's tap changer at another position."""
    return _with(admitted, SwitchingEvent(pd.Timestamp(0, tz="UTC"), transformer, TAP, position))


def _with(admitted: AdmittedNetwork, event: SwitchingEvent) -> AdmittedNetwork:
    return switched(copy.deepcopy(admitted.net), [event], admitted.source, admitted.repairs)[0]


def _apply(net: Any, event: SwitchingEvent) -> str:
    if event.action not in ACTIONS:
        raise SwitchingError(f"{event.where}action {event.action!r} of {event.element!r}; expected {', '.join(ACTIONS)}")
    table, index = _found(net, event)
    if event.action == TAP:
        return _set_tap(net, table, index, event)
    wanted = event.action == CLOSE
    if table == "switch":
        changed = bool(net.switch.at[index, "closed"]) != wanted
        net.switch.at[index, "closed"] = wanted
        return event.told() + ("" if changed else ", which it was already")
    switches = net.switch.index[(net.switch["et"] == KIND_OF_SWITCHED[table]) & (net.switch["element"] == index)]
    before = bool(net[table].at[index, "in_service"]) and bool(net.switch.loc[switches, "closed"].all())
    net.switch.loc[switches, "closed"] = wanted
    if wanted or not len(switches):
        net[table].at[index, "in_service"] = wanted
    return event.told() + ("" if before != wanted else ", which it was already")


def _found(net: Any, event: SwitchingEvent) -> tuple[str, Any]:
    found = []
    for table in ("switch", *KIND_OF_SWITCHED):
        found += [(table, index) for index in net[table].index[net[table]["name"].eq(event.element).to_numpy(bool)]]
    if not found:
        raise SwitchingError(f"{event.where}{event.element!r} is no switch, line, transformer or impedance of the network; expected a name "
                             f"such as {_some_name(net)!r}")  # fmt: skip
    if len(found) > 1:
        kinds = " and a ".join(table for table, _ in found)
        raise SwitchingError(f"{event.where}{event.element!r} names a {kinds}; rename one of them in the network file")
    return found[0]


def _some_name(net: Any) -> str:
    return next(name for table in ("switch", "line", "trafo") for name in net[table]["name"])


def _set_tap(net: Any, table: str, index: Any, event: SwitchingEvent) -> str:
    if table != "trafo" or event.position is None:
        raise SwitchingError(f"{event.where}tap of {event.element!r}: expected a transformer and a whole position")
    frame = net.trafo
    low, high = frame.at[index, "tap_min"], frame.at[index, "tap_max"]
    if not low <= event.position <= high:
        raise SwitchingError(f"{event.where}tap of {event.element!r}: position {event.position}; expected {low:g} to {high:g}, which it has" if low == low
                             else f"{event.where}tap of {event.element!r}: it has no taps")  # fmt: skip
    changed = frame.at[index, "tap_pos"] != event.position
    frame.at[index, "tap_pos"] = event.position
    return event.told() + ("" if changed else ", where it was already")

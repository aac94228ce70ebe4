"""Which days' studies belong to switching states that are no longer what was in force: only they are made again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date

import pandas as pd

from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.lake import Lake
from grid_assets.foundation.site import Site
from grid_assets.network.tables import FLOW_CERTIFICATES
from grid_assets.powerflow.switching import Version, version_of


def studies_to_make_again(site: Site, lake: Lake, before: date | None = None) -> list[date]:
    """The runs (all, or those before a day) with a flow study in other switching states than the network and its events now say.

    Raises NetworkError where the network or its events cannot be read.
    """
    from grid_assets.network.switching_events import network_versions

    if site.network is None:
        return []
    studied = {date.fromisoformat(key) for key in lake.partitions(FLOW_CERTIFICATES)}
    wanted = sorted(day for day in studied if before is None or day < before)
    if not wanted:
        return []
    known = network_versions(site.network, site.clock)
    return [day for day in wanted if _hashes(lake.read(FLOW_CERTIFICATES, day)) != states_of(known, site.clock, day)]


def states_of(known: Sequence[Version], clock: SiteCalendar, day: date) -> set[str]:
    """Hashes of the switching states on the study day of run ``day``."""
    return {known[n].topology_hash for n in version_of(known, clock.intervals(clock.study_day(day)))}


def fingerprint(site: Site) -> str:
    """Of the files that switching states come from: while it stays the same, nothing can have become stale."""
    if site.network is None:
        return ""
    digest = hashlib.sha256(f"{site.network.source}|{site.network.code}".encode())
    for given in (site.network.file, site.network.switching_events):
        # a CIM model may be a folder of files
        for file in [] if given is None else sorted(given.rglob("*")) if given.is_dir() else [given]:
            if file.is_file():
                digest.update(f"|{file.name}|".encode() + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:20]


def _hashes(certificates: pd.DataFrame) -> set[str]:
    return set(certificates["topology_hash"])

"""Pages and graph documents of the network, in the site's folder of artefacts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from grid_assets.figures.network_page import network_page
from grid_assets.foundation.atomic_files import put_atomically
from grid_assets.foundation.site import Site
from grid_assets.network.day_study import DayStudy
from grid_assets.powerflow.drawing import geojson, node_link
from grid_assets.powerflow.graph_measures import graph_measures
from grid_assets.powerflow.switching import Version
from grid_assets.powerflow.topology import topology_of

PLOTLY = "plotly.min.js"
"""One script beside all pages: it is 4.6 MB, and nothing is fetched from anywhere."""


def write_map(done: DayStudy, site: Site, folder: Path, name: str, title: str | None = None) -> Path:
    """Writes the map of a study as a page that opens by itself, from disk too; where it lies."""
    from plotly.offline import get_plotlyjs

    if not (folder / PLOTLY).is_file():
        put_atomically(folder / PLOTLY, get_plotlyjs().encode())
    limits = (site.network.minimum_vm_pu, site.network.maximum_vm_pu) if site.network else (0.95, 1.05)
    told = ": ".join([site.title, title] if title else [site.title])
    page = network_page(done.topology, done.study.bus_voltages, done.study.branch_loadings, limits, site.time_zone, told, PLOTLY)
    put_atomically(folder / name, page.encode())
    return folder / name


def write_graphs(known: Sequence[Version], folder: Path) -> list[Path]:
    """GeoJSON and node-link JSON of each switching state, named by its hash."""
    made = []
    for version in {one.topology_hash: one for one in known}.values():
        topology = topology_of(version.admitted)
        measures = graph_measures(topology)
        for suffix, document in (("geojson", geojson(topology, measures)), ("json", node_link(topology, measures))):
            path = folder / f"{version.topology_hash}.{suffix}"
            put_atomically(path, json.dumps(document, allow_nan=False, sort_keys=True).encode())
            made.append(path)
    return made

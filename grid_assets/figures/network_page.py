"""The network of a study day as a page: loading, direction and voltage at each hour, drawn without a tile server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from grid_assets.figures.network import LOADING_CLASSES, flat
from grid_assets.figures.style import INK, MUTED, PAPER, YELLOW

if TYPE_CHECKING:
    from grid_assets.powerflow.topology import Topology

MOST_FRAMES, MOST_DRAWN = 24, 200_000
"""Moments on the slider; elements drawn over all of them, above which there are fewer moments."""
VOLTAGE_COLOURS = [[0.0, "#b8343b"], [0.25, "#c99700"], [0.5, "#3d8b57"], [0.75, "#2f6fb0"], [1.0, "#5b3f8f"]]
LEAST_FLOW_MW = 1e-4
"""Below this no direction is shown."""


def network_page(
    topology: Topology, voltages: pd.DataFrame, loadings: pd.DataFrame, limits: tuple[float, float], zone: str, title: str, plotly_js: str
) -> str:
    """HTML of the map with a slider over the day, beginning at the interval of the highest loading.

    Frames in the columns of bus_voltages and branch_loadings; ``limits``: voltages per unit that span the colours; ``plotly_js``: the address
    of plotly's script, relative to the page.
    """
    import plotly.graph_objects as go

    volts = voltages.pivot(index="start_utc", columns="bus_id", values="vm_pu").reindex(columns=topology.buses["bus_id"])
    loading = loadings.pivot(index="start_utc", columns="branch_id", values="loading_pct").reindex(columns=topology.branches["branch_id"])
    power = loadings.pivot(index="start_utc", columns="branch_id", values="p_mw").reindex(columns=topology.branches["branch_id"])
    worst = loading.max(axis=1).idxmax()
    moments = _moments(pd.DatetimeIndex(loading.index), worst, len(topology.buses) + len(topology.branches))
    drawn = {moment: _traces(topology, volts.loc[moment], loading.loc[moment], power.loc[moment], limits) for moment in moments}
    still = _still(topology)
    made = go.Figure([*still, *drawn[worst]])
    places = list(range(len(still), len(still) + len(drawn[worst])))
    names = {moment: f"{moment.tz_convert(zone):%H:%M}" + (" (worst)" if moment == worst else "") for moment in moments}
    made.frames = [go.Frame(name=names[moment], data=traces, traces=places) for moment, traces in drawn.items()]
    steps = [{"method": "animate", "label": name, "args": [[name], {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}]} for name in names.values()]  # fmt: skip
    made.update_layout(
        title={"text": f"{title}<br><sup>highest loading {loading.max().max():.0f} % on {loading.loc[worst].idxmax()} at {worst.tz_convert(zone):%a %d %b %Y, %H:%M}</sup>", "font": {"size": 18}},
        sliders=[{"steps": steps, "active": moments.index(worst), "currentvalue": {"prefix": "at "}, "pad": {"t": 20}, "len": 0.9, "x": 0.05}],
        paper_bgcolor=PAPER, plot_bgcolor=PAPER, font={"family": "Helvetica, Arial, sans-serif", "color": INK}, hoverlabel={"align": "left"},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}, margin={"l": 20, "r": 20, "t": 110, "b": 20}, height=820,
        xaxis={"visible": False}, yaxis={"visible": False, "scaleanchor": "x", "scaleratio": 1},
    )  # fmt: skip
    return made.to_html(include_plotlyjs=plotly_js, full_html=True, auto_play=False, div_id="network", config={"scrollZoom": True, "displaylogo": False})  # type: ignore[arg-type]  # fmt: skip


def _moments(instants: pd.DatetimeIndex, worst: pd.Timestamp, elements: int) -> list[pd.Timestamp]:
    """Evenly over the day, and the worst."""
    count = int(np.clip(MOST_DRAWN // max(elements, 1), 1, min(MOST_FRAMES, len(instants))))
    chosen = instants[np.unique(np.linspace(0, len(instants) - 1, count).round().astype(int))]
    return sorted({*chosen, worst}) if count > 1 else [worst]


def _still(topology: Topology) -> list[Any]:
    """What does not change over the day: open branches, open switches, transformers."""
    import plotly.graph_objects as go

    place = dict(zip(topology.buses["bus_id"], flat(topology.buses), strict=True))
    opened = topology.branches[~topology.branches["connected"]]
    trafos = topology.branches[topology.branches["kind"] == "transformer"]
    x, y = _segments(opened, place)
    made = [
        go.Scatter(x=x, y=y, mode="lines", line={"color": MUTED, "width": 1, "dash": "dot"}, name=f"open ({len(opened)})", hoverinfo="skip")
    ]
    switches = topology.open_switches
    at = np.array([place[bus] for bus in switches["bus_id"]]).reshape(-1, 2)
    made.append(
        go.Scatter(
            x=at[:, 0], y=at[:, 1], mode="markers", name=f"open switch ({len(switches)})", text=[f"open switch of {one}" for one in switches["element"]],
            marker={"symbol": "square-open", "size": 12, "color": INK, "line": {"width": 2}}, hovertemplate="%{text}<extra></extra>",
        )
    )  # fmt: skip
    middle = _middles(trafos, place)
    made.append(
        go.Scatter(
            x=middle[:, 0], y=middle[:, 1], mode="markers", name=f"transformer ({len(trafos)})", text=trafos["branch_id"],
            marker={"symbol": "diamond", "size": 13, "color": YELLOW, "line": {"width": 1, "color": INK}}, hovertemplate="%{text}<extra></extra>",
        )
    )  # fmt: skip
    return made


def _traces(topology: Topology, volts: pd.Series, loading: pd.Series, power: pd.Series, limits: tuple[float, float]) -> list[Any]:
    """Branches by class of loading, arrows of direction, buses by voltage."""
    import plotly.graph_objects as go

    place = dict(zip(topology.buses["bus_id"], flat(topology.buses), strict=True))
    live = topology.branches[topology.branches["connected"]]
    percent, flow = (live["branch_id"].map(one).fillna(0.0).to_numpy(float) for one in (loading, power))
    made = []
    for low, high, colour, width, label in LOADING_CLASSES:
        x, y = _segments(live[(percent >= low) & (percent < high)], place)
        made.append(go.Scatter(x=x, y=y, mode="lines", line={"color": colour, "width": 1 + width}, name=label, hoverinfo="skip"))
    middle = _middles(live, place)
    ends = np.array([place[b] - place[a] for a, b in zip(live["from_bus"], live["to_bus"], strict=True)]).reshape(-1, 2)
    ahead = np.where(flow >= 0, 1.0, -1.0)
    turned = np.degrees(np.arctan2(ahead * ends[:, 0], ahead * ends[:, 1]))  # clockwise from upwards
    told = [f"<b>{name}</b><br>{load:.1f} % loaded<br>{abs(mw) * 1000:,.0f} kW towards {to if mw >= 0 else start}" for name, load, mw, start, to in
            zip(live["branch_id"], percent, flow, live["from_bus"], live["to_bus"], strict=True)]  # fmt: skip
    colours = [next(colour for low, high, colour, _, _ in LOADING_CLASSES if low <= one < high) for one in percent]
    made.append(
        go.Scatter(
            x=middle[:, 0], y=middle[:, 1], mode="markers", name="direction", text=told, hovertemplate="%{text}<extra></extra>",
            marker={"symbol": "arrow", "size": np.where(np.abs(flow) >= LEAST_FLOW_MW, 9, 0.1), "angle": turned, "color": colours, "line": {"width": 1, "color": INK}},
        )
    )  # fmt: skip
    points, values = flat(topology.buses), volts.to_numpy(float)
    lit = np.isfinite(values)
    feeder = topology.buses["feeder_id"].fillna("substation").to_numpy(object)
    names = [f"<b>{bus}</b><br>{value:.4f} p.u.<br>{where}" if ok else f"<b>{bus}</b><br>no supply" for bus, value, where, ok in
             zip(topology.buses["bus_id"], values, feeder, lit, strict=True)]  # fmt: skip
    made.append(
        go.Scatter(
            x=points[:, 0], y=points[:, 1], mode="markers", name="bus", text=names, hovertemplate="%{text}<extra></extra>", showlegend=False,
            marker={"size": np.where(lit, 8, 7), "symbol": np.where(lit, "circle", "x"), "color": np.where(lit, values, np.mean(limits)), "cmin": limits[0],
                    "cmax": limits[1], "colorscale": VOLTAGE_COLOURS, "line": {"width": 0.5, "color": PAPER},
                    "colorbar": {"title": {"text": "voltage, p.u."}, "thickness": 12, "len": 0.5}},
        )
    )  # fmt: skip
    return made


def _segments(branches: pd.DataFrame, place: dict[str, np.ndarray]) -> tuple[list[float | None], list[float | None]]:
    x: list[float | None] = []
    y: list[float | None] = []
    for one, other in zip(branches["from_bus"], branches["to_bus"], strict=True):
        x += [place[one][0], place[other][0], None]
        y += [place[one][1], place[other][1], None]
    return x, y


def _middles(branches: pd.DataFrame, place: dict[str, np.ndarray]) -> np.ndarray:
    pairs = zip(branches["from_bus"], branches["to_bus"], strict=True)
    return np.array([(place[one] + place[other]) / 2 for one, other in pairs]).reshape(-1, 2)

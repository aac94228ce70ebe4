"""A weather service on loopback for the tests, and answers in the shape that Open-Meteo documents.

FIXTURES WRITTEN BY US: no answer here was received from Open-Meteo. Keys, units and nesting follow its documentation
(https://open-meteo.com/en/docs and /en/docs/ensemble-api, ``timeformat=unixtime``); all values are made up.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pandas as pd

UNITS = {"temperature_2m": "°C", "relative_humidity_2m": "%", "wind_speed_10m": "m/s", "shortwave_radiation": "W/m²", "cloud_cover": "%"}


def answer(start: str, hours: int, *, members: int = 0, seed: int = 0, **changed: object) -> dict:
    """A documented answer from ``start`` on; ``changed``: series or keys to put in the place of the made-up ones."""
    rng, count = np.random.default_rng(seed), np.arange(hours)
    begin = int(pd.Timestamp(start, tz="UTC").timestamp())
    hourly: dict[str, object] = {"time": [begin + 3600 * int(n) for n in count]}
    units = {"time": "unixtime"}
    for number in range(members or 1):
        for name, unit in UNITS.items():
            key = f"{name}_member{number:02d}" if number else name
            values = {
                "temperature_2m": 8 + 5 * np.sin((count - 9) / 24 * 2 * np.pi) + rng.normal(0, 1, hours) * (1 if members else 0),
                "relative_humidity_2m": 70 + 10 * np.cos(count / 24 * 2 * np.pi),
                "wind_speed_10m": 4 + rng.random(hours),
                "shortwave_radiation": np.maximum(0, 500 * np.sin((count - 6) / 24 * 2 * np.pi)),
                "cloud_cover": 50 + 20 * np.sin(count / 30),
            }[name]
            hourly[key], units[key] = [round(float(one), 2) for one in values], unit
    hourly |= {key: value for key, value in changed.items() if key in hourly}
    made = {
        "latitude": 52.5, "longitude": 13.4, "generationtime_ms": 0.2, "utc_offset_seconds": 0, "timezone": "GMT",
        "timezone_abbreviation": "GMT", "elevation": 38.0, "hourly_units": units, "hourly": hourly,
    }  # fmt: skip
    return made | {key: value for key, value in changed.items() if key in made}


def body(made: object) -> bytes:
    return json.dumps(made).encode()


@dataclass
class Reply:
    """What the service does with one question."""

    data: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    """A length that the answer says it has and has not."""
    slow: Callable[[], object] = lambda: None
    """Called before each part of the answer."""
    parts: int = 1


@dataclass
class Service:
    """Replies one after the other, the last one for ever; ``asked`` are the questions so far."""

    replies: Sequence[Reply | Callable[[dict[str, str]], Reply]]
    address: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def reply(self, path: str, fields: dict[str, str]) -> Reply:
        self.asked.append((path, fields))
        chosen = self.replies[min(len(self.asked), len(self.replies)) - 1]
        return chosen if isinstance(chosen, Reply) else chosen(fields)


@contextmanager
def serving(*replies: Reply | Callable[[dict[str, str]], Reply]) -> Iterator[Service]:
    service = Service(replies)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            made = service.reply(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()})
            self.send_response(made.status)
            for name, value in made.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(made.data) if made.promised is None else made.promised))
            self.end_headers()
            size = max(1, -(-len(made.data) // made.parts))
            for first in range(0, len(made.data), size):
                made.slow()
                try:
                    self.wfile.write(made.data[first : first + size])
                    self.wfile.flush()
                except OSError:  # the one who asked has hung up
                    return

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the screen of the tests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    service.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()

"""The answer of a web service: a few attempts, limits of time and size, and no word of the key."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic, sleep
from urllib.parse import quote_plus, urlencode

import urllib3

MOST_BYTES = 32_000_000
"""An answer of 50 members over 10 days has about 2 MB."""
FIRST_WAIT_S = 1.0
"""Before the second attempt; twice as long before each further one."""
LONGEST_WAIT_S = 60.0
"""A service that wants to be left alone for longer is not asked again in this run."""
WHOLE_ANSWERS = 3
"""The whole of an answer may take so many times the timeout, which is that of one step."""
BUSY = (429, 500, 502, 503, 504)
PART = 1 << 16
HIDDEN = "***"
LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")


class NoAnswer(RuntimeError):
    """A service gave no usable answer: who was asked, how often, what came instead."""


class _Again(Exception):
    """This attempt failed, another may not; after ``wait_s`` seconds if the service said so."""

    def __init__(self, said: str, wait_s: float | None = None):
        super().__init__(said)
        self.wait_s = wait_s


def answer_to(
    url: str,
    fields: Mapping[str, str],
    *,
    secrets: Mapping[str, str] | None = None,
    attempts: int = 4,
    timeout_s: float = 10.0,
    wait: Callable[[float], object] = sleep,
) -> bytes:
    """The body of the answer to GET ``url`` with these query ``fields``.

    ``secrets``: fields that are sent too and appear in no message and no log. Time-outs, broken connections, answers cut
    short and the statuses 429, 500, 502, 503, 504 are tried again, up to ``attempts`` times in all, after 1, 2, 4 .. seconds,
    or after as many as a Retry-After says (a minute at most, or asking ends). Redirects are not followed: an address that
    moved is a matter for the site file. ``timeout_s``: of connecting, and of each wait for bytes; the whole may take three
    times as long. Raises NoAnswer.
    """
    hidden, said = dict(secrets or {}), ""
    with _unsaid(hidden.values()), urllib3.PoolManager(retries=False) as pool:
        for attempt in range(attempts):
            try:
                return _once(pool, url, fields, hidden, timeout_s)
            except _Again as again:
                said, wait_s = str(again), FIRST_WAIT_S * 2**attempt if again.wait_s is None else again.wait_s
            if wait_s > LONGEST_WAIT_S:
                raise NoAnswer(f"{url}: {said}; asked to wait {wait_s:.0f} s, longer than a run waits")
            if attempt + 1 < attempts:
                wait(wait_s)
    raise NoAnswer(f"{url}: no answer after {attempts} attempts, the last: {said}")


def _once(pool: urllib3.PoolManager, url: str, fields: Mapping[str, str], hidden: Mapping[str, str], timeout_s: float) -> bytes:
    until = monotonic() + WHOLE_ANSWERS * timeout_s
    try:
        response = pool.request(
            "GET", f"{url}?{urlencode({**fields, **hidden}, safe=',')}", redirect=False, preload_content=False, timeout=urllib3.Timeout(timeout_s),
            headers={"Accept": "application/json", "Accept-Encoding": "gzip"},
        )  # fmt: skip
        try:
            body = bytearray()
            for part in response.stream(PART):
                body += part
                if len(body) > MOST_BYTES:
                    raise NoAnswer(f"{url}: the answer has more than {MOST_BYTES} bytes; expected one place and some days")
                if monotonic() > until:
                    raise _Again(f"the answer was not there after {WHOLE_ANSWERS * timeout_s:g} s")
        finally:
            response.close()
    except urllib3.exceptions.HTTPError as error:
        raise _Again(type(error).__name__) from None  # its own text repeats the address with all fields
    if response.status == 200:
        return bytes(body)
    said = f"status {response.status}{_reason(body, hidden.values())}"
    if response.status in BUSY:
        raise _Again(said, urllib3.Retry().get_retry_after(response))
    if response.status in range(300, 400):
        raise NoAnswer(f"{url}: {said}: redirects are not followed; set base_url to where the service is now")
    raise NoAnswer(f"{url}: {said}")


def _reason(body: bytes | bytearray, hidden: Iterable[str]) -> str:
    """What Open-Meteo says is wrong, if it does: ``{"error": true, "reason": ".."}``; it may repeat what was asked."""
    try:
        reason = json.loads(body)["reason"]
    except (ValueError, TypeError, KeyError):
        return ""
    return f" ({_without(' '.join(str(reason).split()), hidden)[:200]})"


def _without(text: str, hidden: Iterable[str]) -> str:
    for one in hidden:
        text = text.replace(one, HIDDEN).replace(quote_plus(one, safe=","), HIDDEN)  # as it is and as an address has it
    return text


class _Unsaid(logging.Filter):
    """Takes secrets out of what a library logs: its lines of debugging hold the whole address."""

    def __init__(self, hidden: tuple[str, ...]):
        super().__init__()
        self._hidden = hidden

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = _without(record.getMessage(), self._hidden), ()
        return True


@contextmanager
def _unsaid(hidden: Iterable[str]) -> Iterator[None]:
    kept = _Unsaid(tuple(hidden))
    for name in LOGGERS:
        logging.getLogger(name).addFilter(kept)
    try:
        yield
    finally:
        for name in LOGGERS:
            logging.getLogger(name).removeFilter(kept)

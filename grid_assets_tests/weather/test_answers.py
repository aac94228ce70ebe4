"""Asking a service on loopback: what is tried again and what is not, limits, and no word of the key."""

from __future__ import annotations

import gzip
import logging
import threading
import time
from email.utils import formatdate

import pytest

from grid_assets.weather import answers
from grid_assets.weather.answers import NoAnswer, answer_to
from grid_assets_tests.weather.service import Reply, serving

KEY = "geheim/+42"


def ask(service, waits: list[float] | None = None, **given) -> bytes:
    pauses = [] if waits is None else waits
    return answer_to(f"{service.address}/v1/forecast", {"hourly": "a,b"}, wait=pauses.append, **{"timeout_s": 2.0, **given})


def test_an_answer_comes_as_it_was_sent_and_gzip_is_undone():
    packed = Reply(gzip.compress(b"{}"), headers={"Content-Encoding": "gzip"})
    with serving(Reply(b"plain"), packed) as service:
        assert ask(service) == b"plain"
        assert ask(service) == b"{}"
        assert service.asked[0] == ("/v1/forecast", {"hourly": "a,b"})


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_service_is_asked_again(status: int):
    waits: list[float] = []
    with serving(Reply(status=status), Reply(status=status), Reply(b"ok")) as service:
        assert ask(service, waits) == b"ok"
    assert waits == [1.0, 2.0]


def test_it_gives_up_and_says_after_how_many_attempts_and_why():
    waits: list[float] = []
    with serving(Reply(b'{"error": true, "reason": "over the\\nlimit"}', status=503)) as service:
        with pytest.raises(NoAnswer, match=r"no answer after 3 attempts, the last: status 503 \(over the limit\)"):
            ask(service, waits, attempts=3)
        assert len(service.asked) == 3
    assert waits == [1.0, 2.0]  # nobody waits after the last one


def test_retry_after_is_honoured_within_reason():
    waits: list[float] = []
    with serving(Reply(status=429, headers={"Retry-After": "7"}), Reply(b"ok")) as service:
        assert ask(service, waits) == b"ok"
    assert waits == [7.0]
    soon = Reply(status=429, headers={"Retry-After": formatdate(time.time() + 30, usegmt=True)})
    with serving(soon, Reply(b"ok")) as service:
        assert ask(service, waits) == b"ok"
    assert 25 < waits[1] <= 30
    with serving(Reply(status=429, headers={"Retry-After": "3600"})) as service:
        with pytest.raises(NoAnswer, match="asked to wait 3600 s, longer than a run waits"):
            ask(service, waits)
        assert len(service.asked) == 1
    assert len(waits) == 2


def test_a_wrong_question_is_not_repeated():
    with serving(Reply(b'{"error": true, "reason": "Latitude must be in range"}', status=400)) as service:
        with pytest.raises(NoAnswer, match=r"status 400 \(Latitude must be in range\)"):
            ask(service)
        assert len(service.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_refused_and_nobody_else_is_asked(status: int):
    with serving(Reply(b"other")) as other, serving(Reply(status=status, headers={"Location": f"{other.address}/v1/forecast"})) as service:
        with pytest.raises(NoAnswer, match="redirects are not followed"):
            ask(service)
        assert (len(service.asked), len(other.asked)) == (1, 0)


def test_an_answer_cut_short_is_asked_for_again():
    with serving(Reply(b"half", promised=100), Reply(b"whole")) as service:
        assert ask(service) == b"whole"
    with serving(Reply(b"half", promised=100)) as service, pytest.raises(NoAnswer, match="the last: "):
        ask(service, attempts=2)


def test_a_slow_service_is_left_after_its_time():
    over, begin = threading.Event(), time.monotonic()
    with serving(Reply(b"x", slow=lambda: over.wait(30)), Reply(b"ok")) as service:
        assert ask(service, timeout_s=1.0) == b"ok"
        over.set()
    assert time.monotonic() - begin < 20
    drip = Reply(b"x" * 40, slow=lambda: time.sleep(0.1), parts=40)  # each part in time, the whole too late
    late = r"no answer after 1 attempts, the last: the answer was not there after 1\.5 s"
    with serving(drip) as service, pytest.raises(NoAnswer, match=late):
        ask(service, timeout_s=0.5, attempts=1)


def test_nobody_there():
    with serving(Reply()) as service:
        pass
    with pytest.raises(NoAnswer, match="no answer after 2 attempts, the last: "):
        ask(service, attempts=2)


def test_an_answer_without_end_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(answers, "MOST_BYTES", 1000)
    bomb = Reply(gzip.compress(b"0" * 2_000_000), headers={"Content-Encoding": "gzip"})
    with serving(Reply(b"0" * 1000), Reply(b"0" * 1001), bomb) as service:
        assert len(ask(service)) == 1000
        for _ in range(2):
            with pytest.raises(NoAnswer, match="more than 1000 bytes"):
                ask(service)


def test_the_key_is_sent_and_never_said(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    echo = Reply(f'{{"reason": "no such key {KEY}"}}'.encode(), status=403)
    patient = Reply(f'{{"reason": "{"." * 195}{KEY}"}}'.encode(), status=429, headers={"Retry-After": "900"})
    with serving(Reply(b"ok"), echo, Reply(f'{{"reason": "{KEY}"}}'.encode(), status=500), patient) as service:
        assert ask(service, secrets={"apikey": KEY}) == b"ok"
        assert service.asked[0][1]["apikey"] == KEY
        for _ in range(3):
            with pytest.raises(NoAnswer) as raised:
                ask(service, secrets={"apikey": KEY}, attempts=1)
            assert "geh" not in str(raised.value)  # not even its beginning, where a long reason is cut
            assert raised.value.__cause__ is None
    with pytest.raises(NoAnswer) as raised:  # nobody there any more: the library's error holds the address
        ask(service, secrets={"apikey": KEY}, attempts=1)
    assert KEY not in str(raised.value)
    assert "/v1/forecast" in caplog.text  # the library does log the address
    assert KEY not in caplog.text
    assert "geheim" not in caplog.text

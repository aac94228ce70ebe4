"""The settlement report of an event: one self-contained page that reads and prints well."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import pandas as pd

from grid_assets.demand_response.events import Event
from grid_assets.foundation.calendar import SiteCalendar
from grid_assets.foundation.site_sections import Programme

OUTCOMES = {
    "succeeded": "The target was met",
    "partially_succeeded": "The target was met in part",
    "failed": "Nothing was delivered",
    "cancelled": "Cancelled before its start",
    "unverified": "Nobody could be measured",
}
TIERS = {
    "full": "full rate", "partial": "reduced rate", "bonus": "bonus rate", "non_compliant": "below the lowest paid tier",
    "opt_out": "opted out", "cancelled": "event cancelled", "unverified": "not verified", "withdrawn": "withdrawn",
}  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """Everything that the page shows."""

    site_title: str
    notice: str
    currency: str
    clock: SiteCalendar
    event: Event
    programme: Programme
    participants: pd.DataFrame
    performance: pd.DataFrame
    payments: pd.DataFrame
    settlements: pd.DataFrame
    picture: bytes


def settlement_page(statement: Statement) -> str:
    """The report as an HTML page with nothing to load from elsewhere."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "money": _money, "local": lambda moment, form: _local(statement.clock, moment, form)}
    balances = statement.payments.groupby("participant_id")["amount"].sum() if len(statement.payments) else pd.Series(dtype=object)
    titles = statement.participants.set_index("participant_id")[["title", "account"]]
    lines = statement.performance.join(titles, on="participant_id").sort_values("participant_id")
    lines["amount"] = [balances.get(who, 0) for who in lines["participant_id"]]
    settlements = statement.settlements.sort_values("revision")
    return environment.from_string(PAGE).render(
        site=statement.site_title, notice=statement.notice, currency=statement.currency, event=statement.event,
        programme=statement.programme, lines=lines.to_dict("records"), last=settlements.iloc[-1].to_dict(),
        revisions=settlements.to_dict("records"), outcomes=OUTCOMES, tiers=TIERS, zone=str(statement.clock.zone),
        picture=base64.b64encode(statement.picture).decode(),
    )  # fmt: skip


def _number(value: float | None, places: int = 1) -> str:
    return "–" if value is None or pd.isna(value) else f"{value:,.{places}f}"


def _money(value) -> str:
    return f"{value:,.2f}"


def _local(clock: SiteCalendar, moment, form: str) -> str:
    return pd.Timestamp(moment).tz_convert(clock.zone).strftime(form)


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Settlement {{ event.event_id }}</title>
<style>
  :root { --ink: #1b2733; --muted: #6b7a89; --line: #e3e8ed; --good: #3d8b57; --poor: #b8343b; --fair: #c99700; }
  * { box-sizing: border-box }
  body { font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; color: var(--ink); margin: 0 auto; max-width: 960px; padding: 32px 24px }
  h1 { font-size: 26px; margin: 0 } h2 { font-size: 17px; margin: 32px 0 8px }
  .muted { color: var(--muted) } .notice { border-left: 4px solid var(--fair); padding: 6px 12px; margin: 16px 0; background: #fdf8e8 }
  .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px; margin: 20px 0 }
  .card { border: 1px solid var(--line); border-radius: 8px; padding: 12px 14px } .card b { display: block; font-size: 22px }
  .succeeded b { color: var(--good) } .partially_succeeded b { color: var(--fair) } .failed b { color: var(--poor) }
  table { border-collapse: collapse; width: 100%; font-size: 14px } th { text-align: left; color: var(--muted); font-weight: 600 }
  th, td { padding: 6px 8px; border-bottom: 1px solid var(--line); vertical-align: top }
  .n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap } tfoot td { font-weight: 700; border-bottom: 0 }
  img { width: 100%; height: auto } code { font-size: 12px; word-break: break-all }
  @media print { body { padding: 0; font-size: 12px } h2 { break-after: avoid } tr { break-inside: avoid } thead { display: table-header-group } }
</style>
</head>
<body>
<p class="muted">{{ site }}</p>
<h1>Settlement of {{ event.event_id }}</h1>
<p>{{ event.label }} · {{ event.start_utc | local("%A %d %B %Y, %H:%M") }} to {{ event.end_utc | local("%H:%M") }} ({{ zone }}) ·
programme {{ programme.name }}, notice given {{ event.notified_utc | local("%d %B %H:%M") }}</p>
{% if notice %}<p class="notice">{{ notice }}</p>{% endif %}
<div class="cards">
  <div class="card {{ last.outcome }}"><span class="muted">Outcome</span><b>{{ last.achievement_pct | number(0) }}{% if last.achievement_pct == last.achievement_pct and last.achievement_pct is not none %} %{% endif %}</b>{{ outcomes[last.outcome] }}</div>
  <div class="card"><span class="muted">Delivered</span><b>{{ last.delivered_kwh | number }} kWh</b>of {{ last.target_kwh | number }} kWh aimed at</div>
  <div class="card"><span class="muted">Settled</span><b>{{ last.total_amount | money }} {{ currency }}</b>to {{ last.participants_paid }} of {{ last.participants }} participants</div>
  <div class="card"><span class="muted">Not verified</span><b>{{ last.participants_unverified }}</b>participants whose measurement may not be paid on</div>
</div>
<img alt="Baseline, actual demand and reduction around the event" src="data:image/png;base64,{{ picture }}">
<h2>Participants</h2>
<table>
<thead><tr><th>Participant</th><th class="n">Committed kWh</th><th class="n">Delivered kWh</th><th class="n">Ratio</th><th>Paid by</th><th class="n">Measured</th><th class="n">Amount {{ currency }}</th></tr></thead>
<tbody>
{% for line in lines %}
<tr><td>{{ line.title }}<br><span class="muted">{{ line.participant_id }} · {{ line.account }}</span></td><td class="n">{{ line.committed_kwh | number }}</td>
<td class="n">{{ line.delivered_kwh | number }}</td><td class="n">{{ line.performance_ratio | number(2) }}</td>
<td>{{ tiers[line.tier] }}{% if line.reason %}<br><span class="muted">{{ line.reason }}</span>{% endif %}</td>
<td class="n">{{ line.coverage_pct | number(0) }} %</td><td class="n">{{ line.amount | money }}</td></tr>
{% endfor %}
</tbody>
<tfoot><tr><td>Total</td><td></td><td class="n">{{ last.delivered_kwh | number }}</td><td></td><td></td><td></td><td class="n">{{ last.total_amount | money }}</td></tr></tfoot>
</table>
<h2>Postings</h2>
<table>
<thead><tr><th>Revision</th><th class="n">Posted {{ currency }}</th><th class="n">Total {{ currency }}</th><th>Idempotency key</th></tr></thead>
<tbody>{% for one in revisions %}<tr><td>{{ one.revision }}</td><td class="n">{{ one.posted_amount | money }}</td><td class="n">{{ one.total_amount | money }}</td><td><code>{{ one.idempotency_key }}</code></td></tr>
{% endfor %}</tbody>
</table>
<h2>How this was computed</h2>
<p>The baseline of a participant is the mean of its most recent complete like days (ten weekdays, or four weekend days and holidays, within
{{ programme.lookback_days }} days, without days of other events), times a same-day ratio from four hours to one hour before the event, held between
{{ (1 - programme.adjustment_cap) | number(2) }} and {{ (1 + programme.adjustment_cap) | number(2) }}. Delivered is baseline minus meter reading over the event; rises count
against it, and the event's total is at least zero. The rate is {{ programme.rate_per_kwh }} {{ currency }}/kWh, paid on up to {{ programme.payment_cap_ratio }} times the commitment:
{% for tier in programme.tiers %}from a ratio of {{ tier.minimum_ratio }} at {{ (100 * tier.rate_multiplier) | number(0) }} % of the rate{{ ", " if not loop.last else "; " }}{% endfor %}below that nothing is paid.
The total is rounded half up to the cent and split by largest remainder, so the payments add up to it exactly. Nothing that was posted is altered:
a correction posts the difference as a new revision.</p>
</body>
</html>
"""

"""The tables that demand response publishes."""

from __future__ import annotations

from grid_assets.foundation.tables import Table, calendar_day, count, flag, instant, money, number, text

PARTICIPANTS = Table(
    "demand_response", "participants", "a participant in a programme, from a date on", "none", ("participant_id", "valid_from_utc"),
    (
        text("participant_id", "id of the participant"),
        text("programme", "the programme it takes part in"),
        text("meter_id", "the load meter that its performance is measured with"),
        text("title", "name for people"),
        number("committed_kw", "mean reduction promised over an event"),
        text("account", "reference of the account that payments go to"),
        instant("valid_from_utc", "first instant of these terms"),
    ),
)  # fmt: skip

EVENTS = Table(
    "demand_response", "events", "a demand-response event", "dr_event", ("event_id",),
    (
        text("event_id", "id of the event"),
        text("programme", "the programme it was called under"),
        calendar_day("day", "site day on which it began"),
        instant("start_utc", "first instant of the event"),
        instant("end_utc", "first instant after the event"),
        number("target_kw", "mean reduction aimed at"),
        instant("notified_utc", "when the participants were told"),
        number("notice_minutes", "from the notice to the start"),
        instant("cancelled_utc", "when it was cancelled; empty: it was not", nullable=True),
        text("state", "completed, or cancelled (before its start)"),
        text("label", "what it was called for"),
        text("rate_per_kwh", "the programme's rate in force on that day, a decimal number"),
        count("participants", "participants in force under the programme"),
        text("inputs_hash", "hash of the readings' versions, participants and terms when the run of this event began"),
    ),
)  # fmt: skip

BASELINES = Table(
    "demand_response", "baselines", "a participant and interval, from four hours before the event to two hours after it", "dr_event", ("event_id", "participant_id", "start_utc"),
    (
        text("event_id", "the event"),
        text("participant_id", "the participant"),
        text("meter_id", "its meter"),
        instant("start_utc", "start of the interval"),
        text("period", "before, adjustment, event or after"),
        number("unadjusted_kwh", "mean of the like days chosen", nullable=True),
        number("baseline_kwh", "the same times the adjustment ratio: what would have been used without the event", nullable=True),
        number("actual_kwh", "what the meter counted; empty where missing", nullable=True),
        text("quality", "quality of the reading: measured, estimated or missing"),
        number("reduction_kwh", "baseline minus actual; empty where either is", nullable=True),
        number("raw_ratio", "same-day adjustment before the cap; empty where it cannot be had", unit="-", nullable=True),
        number("adjustment_ratio", "same-day adjustment as applied", unit="-", nullable=True),
        count("baseline_days_used", "like days that the mean is taken over", unit="days"),
        text("baseline_days", "those days, most recent first, separated by spaces"),
        text("fault", "INSUFFICIENT_BASELINE_DAYS where too few like days are complete", nullable=True),
        text("readings_version", "hash of the contents of the days of readings that it was made from"),
    ),
)  # fmt: skip

PERFORMANCE = Table(
    "demand_response", "performance", "what a participant delivered in an event", "dr_event", ("event_id", "participant_id"),
    (
        text("event_id", "the event"),
        text("participant_id", "the participant"),
        number("committed_kwh", "promised power times the event's hours"),
        number("delivered_kwh", "sum of the reductions, rises counted against them; empty without a baseline", nullable=True),
        number("performance_ratio", "delivered, at least 0, against committed; empty without a baseline", unit="-", nullable=True),
        text("tier", "full, partial, non_compliant, bonus, opt_out, cancelled or unverified"),
        text("response", "optIn or optOut"),
        number("coverage_pct", "intervals of the event and its adjustment window with a measured value"),
        number("adjustment_ratio", "same-day adjustment as applied", unit="-", nullable=True),
        count("baseline_days_used", "like days that the baseline is taken over", unit="days"),
        flag("payable", "whether the measurement may be paid on"),
        text("reason", "why it may not", nullable=True),
        text("readings_version", "version of the readings that its baseline was made from"),
    ),
)  # fmt: skip

PAYMENTS = Table(
    "demand_response", "payments", "an amount posted to a participant; a correction posts the difference, nothing is ever altered", "dr_event", ("event_id", "revision", "participant_id"),
    (
        text("event_id", "the event"),
        count("revision", "1 the first settlement; a later one corrects it", unit="-"),
        text("participant_id", "the participant"),
        text("account", "reference of the account"),
        text("tier", "the tier it was paid by"),
        money("amount", "posted by this revision; negative where too much was posted before"),
        money("balance", "posted to this participant for this event up to and with this revision"),
        text("currency", "ISO code of the currency"),
        text("idempotency_key", "sha256 of event|settlement|revision: a payment system must act on a key once"),
        text("payment_key", "sha256 of event|settlement|revision|participant"),
        text("previous_hash", "hash of the row before this in the event's chain; 64 zeros for the first"),
        text("row_hash", "sha256 of the previous hash and this row"),
        text("readings_version", "version of the readings that the amount follows from; empty in rows posted before it was kept", nullable=True),
    ),
)  # fmt: skip

SETTLEMENTS = Table(
    "demand_response", "settlements", "a revision of an event's settlement", "dr_event", ("event_id", "revision"),
    (
        text("event_id", "the event"),
        count("revision", "1 the first settlement; a later one corrects it", unit="-"),
        text("programme", "the programme"),
        calendar_day("day", "site day of the event"),
        text("outcome", "succeeded (85 % of the target or more), partially_succeeded, failed, cancelled, or unverified: nobody was measured"),
        number("target_kwh", "target power times the event's hours"),
        number("delivered_kwh", "sum of the participants' verified deliveries, each at least 0"),
        number("achievement_pct", "delivered against target; empty when cancelled or unverified", nullable=True),
        count("participants", "participants of the event"),
        count("participants_paid", "of them with an amount above zero"),
        count("participants_unverified", "of them whose measurement may not be paid on"),
        money("total_amount", "settled for the event up to and with this revision"),
        money("posted_amount", "posted by this revision"),
        text("currency", "ISO code of the currency"),
        text("idempotency_key", "sha256 of event|settlement|revision"),
        text("chain_head", "hash of the last payment row of this revision"),
        text("inputs_hash", "hash of the readings' versions, participants and terms that this revision was made from, or last found to hold for", nullable=True),
        text("reason", "of an unverified event: why nobody could be measured", nullable=True),
    ),
)  # fmt: skip

DRAFTED_EVENTS = Table(
    "demand_response", "drafted_events", "a window in which a drafted event could relieve an expected constraint violation", "constraint_event", ("draft_id", "start_utc"),
    (
        text("draft_id", "the constraint event: day run, feeder and kind of violation"),
        text("state", "draft: a person decides"),
        text("programme", "the programme it is drafted under"),
        text("kind", "overload or undervoltage"),
        text("feeder_id", "the feeder concerned; empty for the whole network", nullable=True),
        instant("start_utc", "first instant with a violation"),
        instant("end_utc", "end of the last interval with one"),
        instant("latest_notice_utc", "last instant at which the programme's notice can be kept"),
        number("target_kw", "estimated reduction that brings the worst interval back to its limit"),
        text("worst_element_id", "the bus or branch with the largest need"),
        number("worst_value", "its value in that interval", unit="p.u. or %"),
        number("worst_limit", "the limit it is held against", unit="p.u. or %"),
        number("committed_kw", "promised by the participants proposed"),
        number("shortfall_kw", "target that they do not cover"),
        text("participants", "those to be invited, the least important customers first, separated by spaces"),
        count("participants_available", "participants of the programme behind the constraint"),
    ),
)  # fmt: skip

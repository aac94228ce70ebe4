"""What an event's participants are paid: exact decimal money, and an append-only ledger of revisions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from math import floor

import pandas as pd

CENT = Decimal("0.01")
ENERGY = Decimal("0.000001")
"""Energies are settled to the milliwatt-hour, so that what a float's last bit says never moves a cent."""
TARGET_MET = Decimal("0.85")
GENESIS = "0" * 64


class SettlementError(ValueError):
    """Payments, settlement and ledger do not agree."""


@dataclass(frozen=True)
class Tier:
    minimum_ratio: Decimal
    rate_multiplier: Decimal

    @property
    def name(self) -> str:
        if self.rate_multiplier == 0:
            return "non_compliant"
        return "full" if self.rate_multiplier == 1 else "bonus" if self.rate_multiplier > 1 else "partial"


@dataclass(frozen=True)
class Terms:
    """What an event is settled by. Power in kW, rate in currency per kWh; ``hours`` as a fraction, because 50 minutes have no decimal."""

    rate_per_kwh: Decimal
    tiers: tuple[Tier, ...]
    payment_cap_ratio: Decimal
    target_kw: Decimal
    hours: Fraction
    cancelled: bool = False


@dataclass(frozen=True)
class Delivery:
    """A participant's part. Energies in kWh; ``delivered_kwh`` is None without a baseline."""

    participant_id: str
    committed_kwh: Fraction | Decimal
    delivered_kwh: Decimal | None
    opted_out: bool = False
    payable: bool = True


@dataclass(frozen=True)
class Settled:
    outcome: str
    achievement: Fraction | None
    target_kwh: Decimal
    delivered_kwh: Decimal
    total: Decimal
    tiers: Mapping[str, str]
    amounts: Mapping[str, Decimal]


def exact(value: float | int | str | Decimal) -> Decimal:
    """A measured energy as a decimal, to six places."""
    return Decimal(str(value)).quantize(ENERGY, ROUND_HALF_UP)


def rounded(value: Fraction, step: Decimal) -> Decimal:
    """An exact amount, at least 0, in whole steps, half a step rounded up."""
    return floor(value / Fraction(step) + Fraction(1, 2)) * step


def tier_of(delivery: Delivery, terms: Terms) -> Tier | None:
    """The tier that a delivery reaches: its ratio against the commitment, compared exactly; None below all tiers."""
    delivered = max(delivery.delivered_kwh or Decimal(0), Decimal(0))
    for tier in sorted(terms.tiers, key=lambda one: one.minimum_ratio, reverse=True):
        if delivered >= Fraction(tier.minimum_ratio) * Fraction(delivery.committed_kwh):
            return tier
    return None


def tier_name(delivery: Delivery, terms: Terms) -> str:
    """full, partial, bonus or non_compliant by what was delivered; or why nothing is paid."""
    if terms.cancelled:
        return "cancelled"
    if delivery.opted_out:
        return "opt_out"
    if not delivery.payable or delivery.delivered_kwh is None:
        return "unverified"
    tier = tier_of(delivery, terms)
    return tier.name if tier else "non_compliant"


def settle(deliveries: Sequence[Delivery], terms: Terms) -> Settled:
    """Tiers, outcome, total and payments of an event.

    A participant's energy is floored at zero over the whole event and paid up to ``payment_cap_ratio`` of its commitment.
    The total is rounded half up to the cent and split by largest remainder, ties by id: the payments add up to it exactly.
    Those who opted out, or whose measurement may not be paid on, get nothing and count nothing towards the target; where that
    leaves nobody who was measured, the event itself is unverified.
    """
    names = {one.participant_id: tier_name(one, terms) for one in deliveries}
    if len(names) != len(deliveries):
        raise SettlementError("a participant occurs twice in one settlement")
    shares: dict[str, Fraction] = {}
    delivered_kwh = Decimal(0)
    for one in deliveries:
        shares[one.participant_id] = Fraction(0)
        if names[one.participant_id] in ("cancelled", "opt_out", "unverified"):
            continue
        delivered = max(one.delivered_kwh or Decimal(0), Decimal(0))
        delivered_kwh += delivered
        tier = tier_of(one, terms)
        if tier:
            paid_kwh = min(Fraction(delivered), Fraction(terms.payment_cap_ratio) * Fraction(one.committed_kwh))
            shares[one.participant_id] = paid_kwh * Fraction(terms.rate_per_kwh) * Fraction(tier.rate_multiplier)
    target_kwh = Fraction(terms.target_kw) * Fraction(terms.hours)
    total = rounded(sum(shares.values(), Fraction(0)), CENT)
    outcome = outcome_of(names.values(), delivered_kwh, target_kwh, terms.cancelled)
    achievement = None if outcome in ("cancelled", "unverified") else Fraction(delivered_kwh) / target_kwh
    return Settled(outcome, achievement, rounded(target_kwh, ENERGY), delivered_kwh, total, names, split(total, shares))


def split(total: Decimal, shares: Mapping[str, Fraction | Decimal]) -> dict[str, Decimal]:
    """``total`` in whole cents over exact shares: each gets its floor, what is left goes cent by cent to the largest
    remainders, ties to the smaller id. Raises SettlementError when the shares do not round to the total.
    """
    floors = {who: floor(Fraction(share) / Fraction(CENT)) * CENT for who, share in shares.items()}
    left = int((total - sum(floors.values(), Decimal(0))) / CENT)
    by_remainder = sorted(shares, key=lambda who: (Fraction(floors[who]) - Fraction(shares[who]), who))
    if not 0 <= left <= len(by_remainder):
        raise SettlementError(f"shares of {float(sum(map(Fraction, shares.values()))):g} cannot make a total of {total}")
    for who in by_remainder[:left]:
        floors[who] += CENT
    return floors


def outcome_of(tiers: Iterable[str], delivered_kwh: Decimal, target_kwh: Fraction, cancelled: bool) -> str:
    """How an event went, from its participants' tiers. Unverified: somebody took part, and nobody could be measured."""
    if cancelled:
        return "cancelled"
    took_part = {name for name in tiers if name != "opt_out"}
    if took_part == {"unverified"}:
        return "unverified"
    if delivered_kwh >= Fraction(TARGET_MET) * target_kwh:
        return "succeeded"
    return "partially_succeeded" if delivered_kwh > 0 else "failed"


# -- the ledger ------------------------------------------------------------------------------------------------------


def idempotency_key(event_id: str, revision: int, *more: str) -> str:
    """sha256 of event|settlement|revision: the same posting has the same key however often it is made."""
    return hashlib.sha256("|".join((event_id, "settlement", str(revision), *more)).encode()).hexdigest()


def chain_hash(previous: str, record: Mapping) -> str:
    """sha256 of the previous hash and the record as canonical JSON (sorted keys, no spaces, UTF-8)."""
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256((previous + canonical).encode()).hexdigest()


@dataclass(frozen=True)
class Posting:
    """Who is settled, for the ledger: ids, the accounts of the participants, currency; what it was settled from.

    ``inputs_hash``: from ``events.hash_of_inputs``. ``reason``: why the measurement of some may not be paid on, in words.
    ``readings_version``: version of the readings that the performance follows from.
    """

    event_id: str
    programme: str
    day: object
    currency: str
    accounts: Mapping[str, str]
    inputs_hash: str
    reason: str | None = None
    readings_version: str | None = None


def post(posting: Posting, settled: Settled, payments: pd.DataFrame, settlements: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The event's ledger after this settlement: ``payments`` and ``settlements`` as they are, plus at most one revision.

    The first posts every participant; a later one only what differs from what was posted before. The same amounts and
    outcome post nothing: the newest revision then only notes the inputs that it holds for now. A settlement row that an interrupted run left out is written for its payments first.
    """
    payments = payments.sort_values(["revision", "participant_id"])
    if "readings_version" not in payments:  # posted before there was one
        payments = payments.assign(readings_version=None)
    if "inputs_hash" not in settlements:  # written before there was one
        settlements = settlements.assign(inputs_hash=None, reason=None)
    heads = settlements["revision"].tolist()
    for revision in sorted(set(payments["revision"]) - set(heads)):
        settlements = _with(settlements, _settlement_row(posting, settled, payments, int(revision)))
    balances = payments.groupby("participant_id")["amount"].sum().to_dict() if len(payments) else {}
    everyone = sorted(set(balances) | set(settled.amounts))
    differences = {who: settled.amounts.get(who, Decimal(0)) - balances.get(who, Decimal(0)) for who in everyone}
    first = settlements.empty
    changed = {who: amount for who, amount in differences.items() if first or amount}
    same_outcome = not first and settlements.sort_values("revision")["outcome"].iloc[-1] == settled.outcome
    if not changed and same_outcome:
        newest = settlements["revision"] == settlements["revision"].max()
        return payments, settlements.assign(inputs_hash=settlements["inputs_hash"].mask(newest, posting.inputs_hash))
    revision = 1 if first else int(settlements["revision"].max()) + 1
    payments = _with(payments, _payment_rows(posting, settled, payments, balances, changed, revision))
    return payments, _with(settlements, _settlement_row(posting, settled, payments, revision))


def _payment_rows(posting: Posting, settled: Settled, payments: pd.DataFrame, balances, changed, revision: int) -> pd.DataFrame:
    head = payments["row_hash"].iloc[-1] if len(payments) else GENESIS
    accounts = {**dict(zip(payments["participant_id"], payments["account"], strict=True)), **posting.accounts}
    rows = []
    for who, amount in sorted(changed.items()):
        row = {
            "event_id": posting.event_id, "revision": revision, "participant_id": who, "account": accounts[who],
            "tier": settled.tiers.get(who, "withdrawn"), "amount": amount, "balance": balances.get(who, Decimal(0)) + amount,
            "currency": posting.currency, "idempotency_key": idempotency_key(posting.event_id, revision),
            "payment_key": idempotency_key(posting.event_id, revision, who), "previous_hash": head,
            "readings_version": posting.readings_version,
        }  # fmt: skip
        head = row["row_hash"] = row_hash(row)
        rows.append(row)
    return pd.DataFrame(rows, columns=payments.columns)


def row_hash(row: Mapping) -> str:
    """The chain hash of a payment row, over every column but the hashes, money with two decimals. A row that was posted
    before the readings' version was kept has none, and its hash none of it.
    """
    plain = {name: value for name, value in row.items() if name not in ("previous_hash", "row_hash")}
    if pd.isna(plain.get("readings_version")):
        plain.pop("readings_version", None)
    for name in ("amount", "balance"):
        plain[name] = f"{Decimal(plain[name]):.2f}"
    plain["revision"] = int(plain["revision"])
    return chain_hash(row["previous_hash"], plain)


def _settlement_row(posting: Posting, settled: Settled, payments: pd.DataFrame, revision: int) -> pd.DataFrame:
    mine = payments[payments["revision"] == revision]
    so_far = payments[payments["revision"] <= revision]
    balances = so_far.groupby("participant_id")["amount"].sum() if len(so_far) else pd.Series(dtype=object)
    achievement = None if settled.achievement is None else float(100 * settled.achievement)
    row = {
        "event_id": posting.event_id, "revision": revision, "programme": posting.programme, "day": posting.day,
        "outcome": settled.outcome, "target_kwh": float(settled.target_kwh), "delivered_kwh": float(settled.delivered_kwh),
        "achievement_pct": achievement, "participants": len(settled.amounts),
        "participants_paid": int(sum(amount > 0 for amount in balances)),
        "participants_unverified": sum(name == "unverified" for name in settled.tiers.values()),
        "total_amount": sum(so_far["amount"], Decimal("0.00")), "posted_amount": sum(mine["amount"], Decimal("0.00")),
        "currency": posting.currency, "idempotency_key": idempotency_key(posting.event_id, revision),
        "chain_head": so_far["row_hash"].iloc[-1] if len(so_far) else GENESIS, "inputs_hash": posting.inputs_hash,
        "reason": posting.reason if settled.outcome == "unverified" else None,
    }  # fmt: skip
    return pd.DataFrame([row])


def _with(before: pd.DataFrame, more: pd.DataFrame) -> pd.DataFrame:
    if more.empty:
        return before
    return more.reset_index(drop=True) if before.empty else pd.concat([before.astype(object), more.astype(object)], ignore_index=True)


def faults_of_ledger(payments: pd.DataFrame, settlements: pd.DataFrame) -> list[str]:
    """What is wrong with an event's ledger: sums, a broken hash chain, an altered or missing revision, repeated keys."""
    faults = []
    ordered = payments.sort_values(["revision", "participant_id"])
    head = GENESIS
    for row in ordered.to_dict("records"):
        where = f"revision {row['revision']}, participant {row['participant_id']}"
        if row["previous_hash"] != head or row["row_hash"] != row_hash(row):
            faults.append(f"{where}: the hash chain breaks here; a posted row was altered, added or removed")
            break
        head = row["row_hash"]
    if ordered["payment_key"].duplicated().any():
        faults.append("a payment key occurs twice")
    revisions = sorted(settlements["revision"])
    if revisions != list(range(1, len(revisions) + 1)):
        faults.append(f"settlement revisions are {revisions}; expected 1, 2, ... without a gap")
    unsettled = sorted(set(ordered["revision"]) - set(revisions))
    if unsettled:
        faults.append(f"payments of revisions {unsettled} have no settlement")
    return faults + faults_of_sums(ordered, settlements)


def faults_of_sums(payments: pd.DataFrame, settlements: pd.DataFrame) -> list[str]:
    """Where the payments of a revision do not add up to its settlement, or the chain's head is not the one it was settled with."""
    faults = []
    for row in settlements.to_dict("records"):
        so_far = payments[payments["revision"] <= row["revision"]]
        mine = sum(payments.loc[payments["revision"] == row["revision"], "amount"], Decimal(0))
        total = sum(so_far["amount"], Decimal(0))
        if mine != row["posted_amount"] or total != row["total_amount"]:
            faults.append(
                f"revision {row['revision']}: payments add up to {mine} ({total} in all), the settlement says {row['posted_amount']} ({row['total_amount']})"
            )
        head = so_far["row_hash"].iloc[-1] if len(so_far) else GENESIS
        if head != row["chain_head"]:
            faults.append(f"revision {row['revision']}: the last payment is not the one that was settled")
    return faults

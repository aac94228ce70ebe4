"""The outbox: planned once, sent by one, replaced by a newer plan, never lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from grid_assets.foundation.outbox import COMMANDS, Command, Outbox, OutboxError

NOW = datetime(2026, 3, 5, 8, tzinfo=UTC)
QUARTER = timedelta(minutes=15)


def command(plan: str = "plan-1", target: str = "battery-1", step: int = 0, **changes) -> Command:
    begin = NOW + step * QUARTER
    made = Command("storage", plan, "gateway", target, '{"charge_kw": 5}', begin, begin + QUARTER, "replan", "the plan of 08:00")
    return replace(made, **changes)


@pytest.fixture
def outbox(tmp_path):
    return Outbox(f"sqlite:///{tmp_path / 'ledger.sqlite'}")


def statuses(outbox: Outbox) -> dict[str, str]:
    return {f"{row.plan_id}/{row.target}/{row.valid_from_utc:%H:%M}": row.status for row in outbox.read().itertuples()}


def test_the_same_plan_again_changes_nothing_and_rows_fit_their_declaration(outbox):
    assert outbox.plan([command(), command(step=1)], NOW) == 2
    before = outbox.read()
    assert outbox.plan([command(step=1), command()], NOW + QUARTER) == 0
    assert outbox.read().equals(before)
    assert COMMANDS.faults(COMMANDS.conform(before)) == []
    assert outbox.read("plan-2").empty
    assert outbox.plan([], NOW) == 0


def test_a_newer_plan_replaces_what_was_not_sent_from_its_beginning_on(outbox):
    outbox.plan([command(step=n) for n in range(3)] + [command(target="battery-2", step=2)], NOW)
    outbox.mark(command(step=1).command_id, "sent", NOW)
    outbox.plan([command("plan-2", step=n) for n in (1, 2)], NOW + QUARTER)
    found = statuses(outbox)
    assert found["plan-1/battery-1/08:00"] == "planned"  # before the newer plan begins
    assert found["plan-1/battery-1/08:15"] == "sent"  # is on its way
    assert found["plan-1/battery-1/08:30"] == "expired"
    assert found["plan-1/battery-2/08:30"] == "planned"  # of another target
    assert found["plan-2/battery-1/08:30"] == "planned"
    told = outbox.read("plan-1").set_index("command_id")["told"]
    assert told[command(step=2).command_id] == "replaced by plan plan-2"
    # the older plan told again does not come back
    outbox.plan([command(step=n) for n in range(3)], NOW + 2 * QUARTER)
    assert statuses(outbox) == found


def test_a_channel_sees_what_is_due_and_only_that(outbox):
    outbox.plan([command(step=n) for n in (-2, 0, 1)] + [command(target="other", channel="vtn")], NOW - 3 * QUARTER)
    assert outbox.due("gateway", NOW)["valid_from_utc"].tolist() == [NOW]
    outbox.mark(command().command_id, "sent", NOW)
    assert outbox.due("gateway", NOW).empty
    outbox.mark(command().command_id, "failed", NOW, "no answer")
    again = outbox.due("gateway", NOW)
    assert (again["told"].tolist(), again["attempts"].tolist()) == (["no answer"], [1])
    outbox.mark(command().command_id, "sent", NOW)
    outbox.mark(command().command_id, "acknowledged", NOW)
    row = outbox.read().set_index("command_id").loc[command().command_id]
    assert (row["status"], row["attempts"]) == ("acknowledged", 2)
    assert outbox.expire(NOW + QUARTER) == 2  # the one long over, and the other channel's
    assert statuses(outbox)["plan-1/battery-1/08:15"] == "planned"


@pytest.mark.parametrize(
    ("before", "status", "said"),
    [
        ([], "acknowledged", "is planned and cannot become acknowledged; expected it to be sent"),
        (["sent", "acknowledged"], "failed", "is acknowledged and cannot become failed"),
        (["sent"], "sent", "is sent and cannot become sent; expected it to be planned or failed"),
        ([], "planned", "'planned' is no status to mark"),
    ],
)
def test_a_status_that_may_not_follow_is_refused(outbox, before: list[str], status: str, said: str):
    outbox.plan([command()], NOW)
    for one in before:
        outbox.mark(command().command_id, one, NOW)
    with pytest.raises(OutboxError, match=said):
        outbox.mark(command().command_id, status, NOW)


def test_bad_commands_are_refused_and_none_of_their_plan_is_kept(outbox):
    for bad, said in (
        (command(reason=" "), "reason empty; a command says who, why and by which plan"),
        (command(valid_to_utc=NOW), "ends at .*, not after it begins"),
        (command(valid_from_utc=NOW.replace(tzinfo=None)), "has no time zone"),
        (command("plan-2"), "commands of several plans at once"),
    ):
        with pytest.raises(OutboxError, match=said):
            outbox.plan([command(), bad], NOW)
    assert outbox.read().empty
    with pytest.raises(OutboxError, match="is no command"):
        outbox.mark("nothing", "sent", NOW)


def test_of_two_that_send_at_once_one_does(outbox):
    outbox.plan([command(step=n) for n in range(20)], NOW)

    def send(step: int) -> bool:
        try:
            outbox.mark(command(step=step).command_id, "sent", NOW)
        except OutboxError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(send, [n for n in range(20) for _ in range(2)]))
    assert sum(done) == 20
    assert set(outbox.read()["attempts"]) == {1}
    outbox.close()

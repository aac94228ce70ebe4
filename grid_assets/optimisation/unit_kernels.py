"""Compiled loops of the units' dynamic programme; ``unit_programmes`` says what they do. Importing this takes a second or so: it loads numba."""

from __future__ import annotations

import numba
import numpy as np

MOST_PIVOTS = 400
SMALL = 1e-12
_compiled = numba.njit(cache=True, nogil=True, error_model="numpy")


@_compiled
def plan_units(columns, prices, day, shares, hours, exact, charge, discharge, energy, cost, bound):
    """Fills ``charge``, ``discharge``, ``energy`` (units, intervals) in kW and kWh, ``cost`` and ``bound`` (units,).

    ``columns`` (units, 12): the numeric columns of StorageUnits in their order; ``day`` (intervals,): the budget that each interval counts
    against; ``shares`` (budgets,): of a day's budget. A unit that cannot keep its budgets has an infinite cost, and the plan that takes least out.
    """
    intervals, budgets = prices.shape[1], len(shares)
    slopes, lengths, bends = np.empty(2 * intervals + 4), np.empty(2 * intervals + 4), np.empty((4, intervals))
    multipliers, used = np.zeros(budgets), np.zeros(budgets)
    basis = np.empty((budgets + 1, 3, intervals))  # the schedules in the basis; a slack's is not looked at
    new = np.empty((3, intervals))
    for i in range(len(columns)):
        unit, price = columns[i], prices[i]
        budget = unit[11] * unit[2] * shares
        multipliers[:] = 0.0
        cost[i] = best_plan(unit, price, day, multipliers, hours, exact, slopes, lengths, bends, charge[i], discharge[i], energy[i], used)
        bound[i] = cost[i]
        if not (used > budget * (1.0 + SMALL)).any():
            continue
        # the schedules' mixtures within the budgets, as a linear programme whose columns are made when they are asked for
        multipliers[:] = 1.0 + 10.0 * (np.abs(price).max() + unit[10])
        least = best_plan(
            unit,
            price,
            day,
            multipliers,
            hours,
            exact,
            slopes,
            lengths,
            bends,
            basis[budgets, 0],
            basis[budgets, 1],
            basis[budgets, 2],
            used,
        )
        if (used > budget * (1.0 + 1e-9) + 1e-9).any():
            charge[i], discharge[i], energy[i], cost[i] = basis[budgets, 0], basis[budgets, 1], basis[budgets, 2], np.inf
            continue
        inverse = np.eye(budgets + 1)
        inverse[:budgets, budgets] = -used
        values, costs = np.append(np.maximum(budget - used, 0.0), 1.0), np.append(np.zeros(budgets), least)
        is_slack = np.append(np.ones(budgets, np.bool_), np.zeros(1, np.bool_))
        bound[i] = -np.inf
        for _ in range(MOST_PIVOTS):
            duals = costs @ inverse
            entering, entering_cost, slack = np.zeros(budgets + 1), 0.0, int(np.argmax(duals[:budgets]))
            if duals[slack] > SMALL:
                entering[slack] = 1.0
            else:
                slack = -1
                multipliers[:] = np.maximum(-duals[:budgets], 0.0)
                entering_cost = best_plan(unit, price, day, multipliers, hours, exact, slopes, lengths, bends, new[0], new[1], new[2], used)
                value = entering_cost + multipliers @ used
                bound[i] = max(bound[i], value - multipliers @ budget)
                if value >= duals[budgets] - SMALL * max(1.0, abs(value)):
                    break
                entering[:budgets], entering[budgets] = used, 1.0
            change = inverse @ entering
            leaving, step = -1, np.inf
            for row in range(budgets + 1):
                if change[row] > 1e-11 and values[row] / change[row] < step:
                    leaving, step = row, values[row] / change[row]
            if leaving < 0:
                break
            values -= step * change
            inverse[leaving] /= change[leaving]
            values[leaving], costs[leaving], is_slack[leaving] = step, entering_cost, slack >= 0
            for row in range(budgets + 1):
                if row != leaving:
                    inverse[row] -= change[row] * inverse[leaving]
            if slack < 0:
                basis[leaving] = new
        charge[i], discharge[i], energy[i], cost[i] = 0.0, 0.0, 0.0, 0.0
        whole = values[~is_slack].sum()
        for row in range(budgets + 1):
            if not is_slack[row]:
                part = max(values[row], 0.0) / whole
                charge[i] += part * basis[row, 0]
                discharge[i] += part * basis[row, 1]
                energy[i] += part * basis[row, 2]
                cost[i] += part * costs[row]


@_compiled
def best_plan(unit, price, day, multipliers, hours, exact, slopes, lengths, bends, charge, discharge, energy, used):
    """The best schedule of one unit when energy taken out costs ``multipliers`` (budgets,) more; its cost without them, and what it takes out."""
    rated_charge, rated_discharge, lowest, highest = unit[0], unit[1], unit[3], unit[4]
    initial, terminal, into, out_of, lost, wear = unit[5], unit[6], unit[7], unit[8], unit[9], unit[10]
    most_in, most_out, kept = rated_charge * into * hours, rated_discharge * hours / out_of, 1.0 - lost
    intervals = len(price)
    begin, end = 0, 0
    low = min(max(terminal, lowest), highest)
    high = low
    if not exact and highest > low:
        slopes[0], lengths[0], end, high = 0.0, highest - low, 1, highest
    for t in range(intervals - 1, -1, -1):
        charging = -price[t] / into
        discharging = -(price[t] - wear) * out_of + multipliers[day[t]]
        if charging <= discharging:
            first, first_length, second, second_length = charging, most_in, discharging, most_out
        else:
            first, first_length, second, second_length = discharging, most_out, charging, most_in
        at, reached = begin, low
        while at < end and slopes[at] < first:
            reached += lengths[at]
            at += 1
        first_at, first_bend = at, reached
        while at < end and slopes[at] < second:
            reached += lengths[at]
            at += 1
        bends[0, t], bends[1, t], bends[2, t], bends[3, t] = first_bend, reached, low, high
        for n in range(end - 1, at - 1, -1):
            slopes[n + 2], lengths[n + 2] = slopes[n], lengths[n]
        slopes[at + 1], lengths[at + 1] = second, second_length
        for n in range(at - 1, first_at - 1, -1):
            slopes[n + 1], lengths[n + 1] = slopes[n], lengths[n]
        slopes[first_at], lengths[first_at] = first, first_length
        end += 2
        low, high = low - most_in, high + most_out
        if kept != 1.0:
            low, high = low / kept, high / kept
            for n in range(begin, end):
                slopes[n] *= kept
                lengths[n] /= kept
        while begin < end and low < lowest:
            cut = lowest - low
            if lengths[begin] <= cut:
                low += lengths[begin]
                begin += 1
            else:
                lengths[begin] -= cut
                low = lowest
        while begin < end and high > highest:
            cut = high - highest
            if lengths[end - 1] <= cut:
                high -= lengths[end - 1]
                end -= 1
            else:
                lengths[end - 1] -= cut
                high = highest
    used[:] = 0.0
    stored, total = initial, 0.0
    for t in range(intervals):
        before = kept * stored
        top, bottom = before + most_in, before - most_out
        charging_first = -price[t] / into <= -(price[t] - wear) * out_of + multipliers[day[t]]
        length = most_in if charging_first else most_out
        after = min(top, max(bends[0, t], top - length))
        if bends[0, t] < top - length:
            after = min(top - length, max(bends[1, t], bottom))
        after = min(max(after, max(bends[2, t], bottom)), min(bends[3, t], top))
        gone = top - after
        if charging_first:
            taken_in, taken_out = most_in - min(gone, most_in), max(0.0, gone - most_in)
        else:
            taken_in, taken_out = most_in - max(0.0, gone - most_out), min(gone, most_out)
        charge[t], discharge[t], energy[t] = taken_in / (into * hours), taken_out * out_of / hours, after
        total += hours * (price[t] * (charge[t] - discharge[t]) + wear * discharge[t])
        used[day[t]] += taken_out
        stored = after
    return total

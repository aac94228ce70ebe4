"""Qualities of a published reading: in plain words, and as IEC 61968-9 writes them (system.category.sub-category).

Read in published lists of two makers' codes: 3.0.0, 3.5.259, 3.6.0, 3.7.0, 2.5.259 and 1.2.32. That category 8 stands for
estimated is recalled, and its sub-categories per method are ours: a receiver that knows only the category loses nothing.
System 1 is the meter, 2 the metering network, 3 meter data management.
"""

from __future__ import annotations

MISSING, MEASURED, EDITED, ESTIMATED = 0, 1, 2, 3
QUALITIES = ("missing", "measured", "edited", "estimated")
"""In words, in the order of their codes."""

AS_ARRIVED, REGISTER, LINEAR, LIKE_DAYS, CLASS_PROFILE, SCALED_WH, CORRECTION, OUTAGE, REGISTER_EVEN = range(9)
METHODS = (None, "register", "linear", "like_days", "class_profile", "scaled_wh", "correction", "outage", "register_even")
"""How a value was made, in the order of their codes; None: it is the arrived one."""

VALID, REASONABILITY, FAILED, EDITED_CODE, MISSING_CODE, POWER_FAIL = "3.0.0", "3.5.259", "3.6.0", "3.7.0", "2.5.259", "1.2.32"
UNCONFIRMED = "3.7.1"
"""Of a day that the scale test changed though no past confirms it, so that it becomes none itself; the sub-category is ours."""
ESTIMATED_CODES = {LINEAR: "3.8.1", LIKE_DAYS: "3.8.2", CLASS_PROFILE: "3.8.3", OUTAGE: "3.8.4", REGISTER_EVEN: "3.8.5"}
"""Sub-categories of estimates: ours."""

CODES = (MISSING_CODE, VALID, EDITED_CODE, UNCONFIRMED, *ESTIMATED_CODES.values(), POWER_FAIL, REASONABILITY, FAILED)
"""What a published reading can carry."""

MEANINGS = {
    VALID: "measured, passed every rule",
    REASONABILITY: "missing: what arrived failed a test of reasonability and nothing could be estimated",
    FAILED: "missing: what arrived was refused for another reason and nothing could be estimated",
    EDITED_CODE: "edited by an analyst or by the scale test",
    UNCONFIRMED: "edited by the scale test, without a past to compare with",
    MISSING_CODE: "missing: nothing arrived and nothing could be estimated",
    POWER_FAIL: "measured zero during a known outage",
    "3.8.1": "estimated by a straight line",
    "3.8.2": "estimated from like days of the same meter",
    "3.8.3": "estimated from the profile of its class",
    "3.8.4": "estimated as zero: without supply, nothing arrived",
    "3.8.5": "estimated as an even share of what the register counted over a longer time",
}


def code_of(quality: int, method: int, power_failed: bool = False, refused: str = "") -> str:
    """The IEC 61968-9 code of a reading of this quality (MISSING ..), method (AS_ARRIVED ..) and supply; ``refused``: REASONABILITY
    or FAILED where a value arrived and was refused, which counts where nothing stands in its place.
    """
    if quality == ESTIMATED:
        return ESTIMATED_CODES[method]
    if quality == MEASURED:
        return POWER_FAIL if power_failed else VALID
    return EDITED_CODE if quality == EDITED else refused or MISSING_CODE

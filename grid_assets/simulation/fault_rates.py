"""The rates and seeds of the meter feed's faults.

They were committed before any rule of validation was tuned, and they are not moved towards a rule: detection is measured
against the truth of feeds with exactly these rates (``grid-assets bench metering``).
"""

from __future__ import annotations

DUPLICATES = 0.005
"""Share of readings that are sent a second time with the same value."""
CONFLICTING_RESENDS = 0.001
"""Share of readings that are sent again later with another value; the later one is what counts."""
LATE = 0.01
"""Share of readings that travel in a file of one to LATEST_DAYS days later."""
SHORT_GAPS = 0.01
"""Share of readings that are lost in gaps of SHORT_LENGTHS intervals."""
LONG_GAPS = 0.005
"""Share of readings that are lost in gaps of LONG_LENGTHS intervals."""
OFFLINE_DAYS = 0.001
"""Share of meter-days of which nothing is sent."""
NEGATIVES = 0.0002
"""Share of readings that turn negative, of meters that cannot feed in."""
SPIKES = 0.0002
"""Share of readings that lie far above what the meter's rating allows."""
STUCK = 0.003
"""Share of meter-days (here and below: of meters that send interval values) in which one value other than zero is sent again and again."""
ZERO_RUNS = 0.0015
"""Share of meter-days in which the meter sends zeros while energy flows."""
TRUE_OUTAGES = 0.0015
"""Share of meter-days with an outage: no energy flows, zeros are sent, the utility has an outage event."""
NODE_OUTAGES_PER_DAY = 1
"""Outages of a whole feeder, on top of those, in the feed of the benchmark; the demo has one on a day of its own."""
EXCHANGES = 0.0005
"""Share of all meter-days in which the meter is exchanged; borne by the meters that send register readings, since only there it shows."""
DECLARED_WH = 0.005
"""Share of meters that count in Wh and say so."""
UNDECLARED_WH = 0.001
"""Share of meter-days that count in Wh and say kWh."""
UNDECLARED_LOCAL_CLOCK = 0.002
"""Share of meter-days whose stamps are local time and say UTC."""
UNKNOWN_IDS = 0.0005
"""Share of rows, added to a file, whose meter no register has."""
CORRUPT_ROWS = 0.0002
"""Share of rows whose value cannot be read."""
REGISTERS = 0.05
"""Share of meters that send the standing of their register instead of the energy of intervals."""
PROSUMERS = 0.15
"""Share of meters behind which generation stands: net-metered, negative around noon."""

SHORT_LENGTHS, LONG_LENGTHS = (1, 5), (12, 48)
"""Lengths of gaps in intervals, the upper end left out: up to 1 hour, and 3 to 12 hours."""
STUCK_LENGTHS, ZERO_LENGTHS, OUTAGE_LENGTHS = (12, 40), (12, 40), (4, 40)
"""Lengths of runs in intervals, the upper end left out."""
SPIKE_OF_RATING = (2.5, 6.0)
"""A spike's size as a multiple of the energy that the meter's rating allows in an interval."""
CONFLICT_FACTOR, CONFLICT_KWH = 1.07, 0.01
"""A conflicting resend's first value is the true one times the factor plus the energy."""
LATEST_DAYS = 3
STORM_METERS = 6
"""A feeder has at least so many meters when an outage of it is to be seen as area-wide."""

BENCH_SEED = 20261120
"""Seed of the population and feed of ``grid-assets bench metering``. A site's feed takes the site's own seed."""
STREAM_ROWS, STREAM_WH, STREAM_REGISTERS, STREAM_POPULATION = 1, 2, 3, 4
STREAM_ENERGY, STREAM_DEVICES, STREAM_OUTAGES, STREAM_EXCHANGES = 5, 6, 7, 8
"""Numbers that tell the generator's streams apart: ``default_rng([seed, stream])`` of what stays, and of a day
``default_rng([seed, day.toordinal()])`` of its faults or ``default_rng([seed, day.toordinal(), stream])``."""

"""The sections of a site file, one small model each. Unknown keys are errors: a typo never passes in silence."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date, time
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

_CODES = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH
    CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN
    GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI
    LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM
    PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD
    TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
"""
COUNTRIES = frozenset(_CODES.split())
"""ISO 3166-1 alpha-2, and XK for Kosovo: the codes for which the `holidays` library has a calendar."""
USUAL_MISTAKES = {"UK": "GB", "EL": "GR"}

BASELINE_DAYS = 10
"""The like days that the baseline of a weekday takes."""


class Section(BaseModel):
    """A section of a site file. A fault that lies between keys is raised as `key = value: expected ..`, a line per fault:
    the reader of the file then names that key and its line.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is not a time zone; expected an IANA name such as Europe/Berlin or UTC") from error
    return name


def _known_country(code: str) -> str:
    if code not in COUNTRIES:
        hint = f"; did you mean {USUAL_MISTAKES[code]}?" if code in USUAL_MISTAKES else ""
        raise ValueError(f"{code!r} is not a country; expected two capitals of ISO 3166 such as DE or GB{hint}")
    return code


def _money_text(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"\d+(\.\d+)?", value, re.ASCII) or not float(value):
        raise ValueError('expected a decimal number such as 0.45, above 0 and in quotation marks: "0.45"')
    return value


ZoneName = Annotated[str, AfterValidator(_known_zone)]
Country = Annotated[str, AfterValidator(_known_country)]
DecimalText = Annotated[str, BeforeValidator(_money_text)]


class CalendarSection(Section):
    """Which days the site has. Replay: fixed first and last day. Live: up to yesterday, first_day is where it begins."""

    mode: Literal["live", "replay"]
    first_day: date
    last_day: date | None = None
    default_day: date | None = None
    history_days: int = Field(60, ge=0, le=3660)
    issue_hour: int = Field(9, ge=0, le=23)
    study_day_offset: int = Field(2, ge=1, le=7)
    horizon_days: int = Field(7, ge=0, le=7)
    """Days after the day of issue that weather and demand are forecast for."""

    @model_validator(mode="after")
    def _replay_is_bounded(self) -> CalendarSection:
        if self.mode == "replay":
            if self.last_day is None or self.default_day is None:
                raise ValueError("a replay calendar needs last_day and default_day")
            if not self.first_day <= self.default_day <= self.last_day:
                raise ValueError(
                    f"expected first_day <= default_day <= last_day, got {self.first_day}, {self.default_day}, {self.last_day}"
                )
        elif self.last_day is not None or self.default_day is not None:
            raise ValueError("a live calendar follows the clock: leave out last_day and default_day")
        return self


class RegistersSection(Section):
    """Where meters.csv, nodes.csv, plants.csv and units.csv lie (the last two may be absent)."""

    folder: Path


class ValidationSection(Section):
    """Parameters of the validation and estimation rules."""

    spike_ratio: float = Field(1.8, gt=1)
    spike_floor_share: float = Field(0.5, ge=0)
    """A spike is above this share of the meter's rating: a kettle in an empty house is none."""
    stuck_intervals: int = Field(8, ge=3)
    zero_run_intervals: int = Field(8, ge=2)
    """Zeros in a row that need an outage event, or a past with such runs, to be believed."""
    zero_run_usual_kw: float = Field(0.02, ge=0)
    """A meter that did not stay under this mean power for half of such a run on its like days does not rest: its zero runs are faults."""
    scale_ratio: float = Field(250.0, gt=10)
    """A day whose quartiles stand between this and 1000^2 / this times the usual ones was sent in Wh and is divided by 1000."""
    register_tolerance_pct: float = Field(2.0, gt=0)
    """Largest difference between a day's intervals and its register before the day is flagged."""
    register_modulus_kwh: float = Field(100_000.0, gt=0)
    """Standing at which registers start again from 0, where the register of meters names none."""
    usage_ratio: float = Field(4.0, gt=1)
    """A day of more than this times, or less than this part of, the usual energy is flagged."""
    night_elevation_degrees: float = Field(-6.0, le=0)
    """Below this elevation of the sun a PV meter cannot generate."""
    night_share: float = Field(0.01, ge=0)
    """More than this share of the rating at night is a fault of a PV meter."""
    linear_gap_minutes: int = Field(120, ge=0)
    like_day_weeks: int = Field(3, ge=1, le=12)
    near_zero_share: float = Field(0.0, ge=0, lt=1)
    """A load meter's run of readings under this share of its recent mean counts as a switched or dead measurement; 0 = off."""
    near_zero_intervals: int = Field(4, ge=1)
    minimum_valid_pct: float = Field(95.0, ge=0, le=100)


class MeteringSection(Section):
    """How a day's readings are computed, and where people's own entries lie."""

    engine: Literal["local", "spark"] = "local"
    """local: in this process and its children; spark: on the executors of a Spark session (extra `spark`)."""
    spark_master: str = "local[2]"
    shard_meters: int = Field(20_000, ge=1)
    """Meters that are computed at once: the unit of memory and of work."""
    threads: int = Field(2, ge=1, le=64)
    """Shards that the local engine computes at the same time; each takes its share of memory."""
    corrections: Path | None = None
    """Folder of the analysts' corrections (CSV); None: none are taken."""
    outages: Path | None = None
    """Folder of the outage events (CSV); None: none are known."""
    open_outage_days: int = Field(7, ge=1)
    """An outage that has no end and is open for longer is told: what did not arrive since counts as no energy."""


class QuantityLimits(Section):
    """What a measured quantity can be, in its own unit (V, A, Hz, degC, pct ..)."""

    minimum: float | None = None
    maximum: float | None = None
    largest_step: float | None = Field(None, gt=0)
    """Between two measurements in a row."""
    stuck_values: int | None = Field(None, ge=3)
    """So many equal values in a row are a stuck sensor."""


class AlertsSection(Section):
    """When an alert opens and closes. A condition must hold, and be over, for its time: no flapping."""

    minimum_valid_pct: float = Field(90.0, ge=0, le=100)
    valid_share_minutes: int = Field(15, ge=1)
    valid_share_meters: int = Field(3, ge=1)
    """A node is judged where at least so many of its meters lack a valid reading, or all it has."""
    offline_minutes: int = Field(5, ge=1)
    closing_margin_pct: float = Field(2.0, ge=0)
    """The valid share must be so much above the minimum to close."""
    closing_minutes: int = Field(15, ge=0)
    outage_share_pct: float = Field(50.0, gt=0, le=100)
    """An area-wide outage: more than this share of a node's meters silent or at zero at once."""
    outage_meters: int = Field(5, ge=2)
    outage_minutes: int = Field(15, ge=1)
    """The pattern must have held so long."""
    meter_offline_minutes: int = Field(720, ge=1)
    """Meters deliver in batches and have short gaps every day: one is listed as offline when it was silent for so long."""
    balance_tolerance_pct: float = Field(10.0, gt=0)
    """A node's day whose residual is a larger share of what its boundary meters measured is warned of."""
    anomalies: int = Field(50, ge=1)
    """How many unusual meter days are listed."""
    anomaly_deviations: float = Field(6.0, gt=0)


class ForecastingSection(Section):
    """What the forecasts learn from."""

    history_days: int = Field(1830, ge=0, le=36600)
    """How far back the ensemble looks, as far as the lake has days; a back-fill of a first run takes calendar.history_days only."""
    mape_target_pct: float = Field(5.0, gt=0)
    """The mean absolute percentage error of the system's day-ahead forecast that a check asks for .."""
    mape_judged_from_mw: float = Field(100.0, ge=0)
    """.. where its mean load is at least this: a village cannot be forecast like a country."""
    meter_forecasts: int = Field(20_000, ge=0)
    """Single meters are forecast on sites of at most so many load meters; 0: never. Their readings of seven weeks are read each morning."""
    scenario_members: int = Field(20, ge=0, le=28)
    """Joint samples of the nodes' loads that are drawn for network and storage; as many past days of errors are needed."""
    reissue_minutes: Literal[5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 720] | None = None
    """How often demand is forecast again in the course of the day; None: only when asked."""
    reissue_only_after_a_miss: bool = False
    """Whether such an issue needs a node whose last hour lay outside the morning's 90 % band."""
    holiday_region: str | None = None
    """Region of the country for its public holidays, as the library `holidays` names it: VIC, BY, ENG ..; None: nationwide ones."""


class RemediesSection(Section):
    """What remedies of expected violations cost, in the site's currency."""

    switching_cost: float = Field(50.0, ge=0)
    """Of opening or closing one branch."""
    tap_cost: float = Field(5.0, ge=0)
    """Of one step of a tap changer."""
    reactive_cost_per_kvarh: float = Field(0.005, ge=0)
    energy_price_per_kwh: float = Field(0.10, ge=0)
    """Of what storage loses."""
    demand_response_share: float = Field(0.2, gt=0, le=1)
    """Of a load that can be asked to do without."""
    demand_response_cost_per_kwh: float = Field(0.30, ge=0)
    curtailment_cost_per_kwh: float = Field(0.08, ge=0)


class NetworkSection(Section):
    source: Literal["file", "simbench", "cigre_mv"]
    file: Path | None = None
    """pandapower JSON or Excel, MATPOWER, OpenDSS, or CIM CGMES (also a folder)."""
    code: str | None = None
    """Of a SimBench network."""
    switching_events: Path | None = None
    """A CSV of what is switched when: valid_from, element, action (open, close, tap), position, reason."""
    scenarios: Path | None = None
    """The folder of scenario files, NAME.toml."""
    minimum_vm_pu: float = Field(0.95, gt=0)
    maximum_vm_pu: float = Field(1.05, gt=0)
    maximum_loading_pct: float = Field(100.0, gt=0)
    power_factor: float = Field(0.97, gt=0, le=1)
    """Of loads whose register gives none."""
    hosting_most_mw: float = Field(20.0, gt=0)
    """The largest plant or charging site that hosting capacity asks about."""
    double_outages: tuple[tuple[str, str], ...] = ()
    """Pairs of branches whose common outage is studied too, such as two circuits on one pole."""
    remedies: RemediesSection = RemediesSection()

    @model_validator(mode="after")
    def _file_named(self) -> NetworkSection:
        if self.source == "file" and self.file is None:
            raise ValueError("source = 'file' needs file, the path of a network file")
        if (self.source == "simbench") != (self.code is not None):
            raise ValueError("source = 'simbench' needs code, such as '1-MV-rural--0-sw'; no other source has one")
        if self.minimum_vm_pu >= self.maximum_vm_pu:
            raise ValueError(f"minimum_vm_pu = {self.minimum_vm_pu}: expected less than maximum_vm_pu, {self.maximum_vm_pu}")
        return self


class StorageSection(Section):
    peak_price_per_kw: float = Field(0.2, ge=0)
    curtailment_price_per_mwh: float = Field(20.0, ge=0)
    feeder_limit_penalty_per_kwh: float = Field(5.0, ge=0)
    import_price_per_mwh: float = Field(90.0, ge=0)
    export_price_per_mwh: float = Field(40.0, ge=0)
    grid_carbon_kg_per_kwh: float = Field(0.35, ge=0)
    """Of energy drawn from the grid above."""
    cell_temperature_limit_degc: float = Field(45.0, gt=0)
    """Units that are warmer raise an alert."""
    end_of_life_soh_pct: float = Field(80.0, gt=0, lt=100)
    """State of health at which a unit counts as worn out."""

    @model_validator(mode="after")
    def _export_earns_no_more_than_import_costs(self) -> StorageSection:
        if self.export_price_per_mwh > self.import_price_per_mwh:
            raise ValueError(
                f"export_price_per_mwh = {self.export_price_per_mwh}: expected at most import_price_per_mwh, {self.import_price_per_mwh}; "
                "else buying and selling at once would earn without end"
            )
        return self


class TariffPeriod(Section):
    model_config = ConfigDict(allow_inf_nan=True)  # told with the tariff's other faults
    start: time
    end: time
    """Before the start, or 00:00: the period goes on over midnight."""
    days: Literal["all", "weekdays", "weekends"] = "all"
    price_per_kwh: float


class Tariff(Section):
    model_config = ConfigDict(allow_inf_nan=True)
    name: str
    price_per_kwh: float
    """Outside all periods."""
    periods: tuple[TariffPeriod, ...] = ()


def faults_of_tariff(tariff: Tariff, interval_minutes: int) -> Iterator[str]:
    """What keeps a tariff from giving one price in every interval: each fault begins with the key, counted from 1."""
    if not math.isfinite(tariff.price_per_kwh):
        yield f"price_per_kwh = {tariff.price_per_kwh}: expected a number"
    for n, period in enumerate(tariff.periods, 1):
        if not math.isfinite(period.price_per_kwh):
            yield f"periods[{n}].price_per_kwh = {period.price_per_kwh}: expected a number"
        for key, edge in (("start", period.start), ("end", period.end)):
            if edge.minute % interval_minutes or edge.second or edge.microsecond:
                yield f"periods[{n}].{key} = {edge}: expected the edge of an interval of {interval_minutes} minutes"
        if period.start == period.end and period.start != time():
            yield f"periods[{n}].end = {period.end:%H:%M}: the period is empty; a whole day is 00:00 to 00:00"
    for (one, first), (other, second) in combinations(enumerate(tariff.periods, 1), 2):
        days_meet = "all" in (first.days, second.days) or first.days == second.days
        if days_meet and _meet(first, second):
            yield f"periods[{other}] = {_named(second)}: overlaps periods[{one}], {_named(first)}; expected at most one price at a time"


def _meet(one: TariffPeriod, other: TariffPeriod) -> bool:
    return any(begin < last and first < end for begin, end in _spans(one) for first, last in _spans(other))


def _spans(period: TariffPeriod) -> list[tuple[time, time]]:
    """The period within a day, in two parts where it goes over midnight."""
    if period.start < period.end:
        return [(period.start, period.end)]
    return [(period.start, time.max), *([(time(), period.end)] if period.end > time() else [])]


def _named(period: TariffPeriod) -> str:
    return f"{period.start:%H:%M} to {period.end:%H:%M} ({period.days})"


class MarketSection(Section):
    base_tariff: str
    candidate_tariff: str
    own_price_elasticity: float = Field(-0.05, le=0, ge=-2)
    substitution_elasticity: float = Field(0.05, ge=0, le=2)
    elasticity_source: str = "assumed"
    procurement: str | None = None
    """The tariff whose prices stand for what energy costs the supplier; None: the base tariff."""


class PerformanceTier(Section):
    minimum_ratio: float = Field(ge=0)
    rate_multiplier: float = Field(ge=0)


class Programme(Section):
    """A demand-response programme as it is in force from effective_from on."""

    name: str
    effective_from: date
    baseline: Literal["caiso_10_in_10"] = "caiso_10_in_10"
    rate_per_kwh: DecimalText
    """A decimal number as text, so that no cent is lost."""
    tiers: tuple[PerformanceTier, ...] = (
        PerformanceTier(minimum_ratio=0.85, rate_multiplier=1.0),
        PerformanceTier(minimum_ratio=0.5, rate_multiplier=0.75),
    )
    payment_cap_ratio: float = Field(1.2, gt=0)
    lookback_days: int = Field(45, gt=0, le=366)
    minimum_baseline_days: int = Field(5, ge=1, le=BASELINE_DAYS)
    adjustment_cap: float = Field(0.2, ge=0, lt=1)
    minimum_notice_minutes: int = Field(60, ge=0)

    @model_validator(mode="after")
    def _enough_days_to_look_at(self) -> Programme:
        if self.lookback_days < self.minimum_baseline_days:
            raise ValueError(f"lookback_days = {self.lookback_days}: expected at least minimum_baseline_days, {self.minimum_baseline_days}")
        return self


class DemandResponseSection(Section):
    folder: Path
    """Where participants.csv and events.csv lie."""
    draft_programme: str
    """The programme under which an expected constraint violation drafts an event."""


class SimulationSection(Section):
    """The demo's head-end: writes registers, network, weather and faulty meter files as a utility would deliver them."""

    simbench_code: str
    folder: Path
    storage_minimum_mwh: float = 1.0

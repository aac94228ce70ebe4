"""A small CGMES 2.4.15 model written by hand: a 10 kV supply, two lines, a load."""

from __future__ import annotations

from pathlib import Path

PROFILES = {
    "EQ": "http://entsoe.eu/CIM/EquipmentCore/3/1",
    "SSH": "http://entsoe.eu/CIM/SteadyStateHypothesis/1/1",
    "TP": "http://entsoe.eu/CIM/Topology/4/1",
}
NODES = ("source", "middle", "end")
TERMINALS = {
    "t-grid": ("grid", "source"), "t-l1a": ("line-1", "source"), "t-l1b": ("line-1", "middle"),
    "t-l2a": ("line-2", "middle"), "t-l2b": ("line-2", "end"), "t-load": ("town", "end"),
}  # fmt: skip


def written(folder: Path, extra_equipment: str = "", extra_terminal: tuple[str, str, str] | None = None) -> Path:
    """The folder with EQ, SSH and TP files; what is extra has a terminal at a node."""
    terminals = {**TERMINALS, **({extra_terminal[0]: extra_terminal[1:]} if extra_terminal else {})}
    equipment = [
        _one("BaseVoltage", "kv10", {"BaseVoltage.nominalVoltage": 10}),
        _one("GeographicalRegion", "land", {"IdentifiedObject.name": "land"}),
        _one("SubGeographicalRegion", "region", {"IdentifiedObject.name": "region"}, {"SubGeographicalRegion.Region": "land"}),
        _one("Substation", "station", {"IdentifiedObject.name": "station"}, {"Substation.Region": "region"}),
        _one("VoltageLevel", "level", {"IdentifiedObject.name": "level"}, {"VoltageLevel.Substation": "station", "VoltageLevel.BaseVoltage": "kv10"}),
        _one("ExternalNetworkInjection", "grid", {"IdentifiedObject.name": "grid", "ExternalNetworkInjection.governorSCD": 0,
             "ExternalNetworkInjection.maxP": 100, "ExternalNetworkInjection.minP": -100, "ExternalNetworkInjection.maxQ": 100,
             "ExternalNetworkInjection.minQ": -100}, {"Equipment.EquipmentContainer": "level", "RegulatingCondEq.RegulatingControl": "hold"}),
        _one("RegulatingControl", "hold", {"IdentifiedObject.name": "hold"}, {"RegulatingControl.Terminal": "t-grid"},
             'rdf:resource="http://iec.ch/TC57/2013/CIM-schema-cim16#RegulatingControlModeKind.voltage"'),
        _one("EnergyConsumer", "town", {"IdentifiedObject.name": "town"}, {"Equipment.EquipmentContainer": "level"}),
        *(_line(name) for name in ("line-1", "line-2")),
        *(_one("Terminal", name, {"ACDCTerminal.sequenceNumber": 2 if name.endswith("b") else 1}, {"Terminal.ConductingEquipment": at})
          for name, (at, _) in terminals.items()),
        extra_equipment,
    ]  # fmt: skip
    state = [
        _about("ExternalNetworkInjection", "grid", {"ExternalNetworkInjection.p": 0, "ExternalNetworkInjection.q": 0,
               "ExternalNetworkInjection.referencePriority": 1, "RegulatingCondEq.controlEnabled": "true"}),
        _about("RegulatingControl", "hold", {"RegulatingControl.discrete": "false", "RegulatingControl.enabled": "true",
               "RegulatingControl.targetValue": 10.2},
               'rdf:resource="http://iec.ch/TC57/2013/CIM-schema-cim16#UnitMultiplier.k"'),
        _about("EnergyConsumer", "town", {"EnergyConsumer.p": 1.5, "EnergyConsumer.q": 0.5}),
        *(_about("Terminal", name, {"ACDCTerminal.connected": "true"}) for name in terminals),
    ]  # fmt: skip
    topology = [
        *(_one("TopologicalNode", f"node-{name}", {"IdentifiedObject.name": name},
               {"TopologicalNode.BaseVoltage": "kv10", "TopologicalNode.ConnectivityNodeContainer": "level"}) for name in NODES),
        *(_about("Terminal", name, {}, f'<cim:Terminal.TopologicalNode rdf:resource="#node-{node}"/>', bare=True)
          for name, (_, node) in terminals.items()),
    ]  # fmt: skip
    folder.mkdir(exist_ok=True)
    for profile, parts in (("EQ", equipment), ("SSH", state), ("TP", topology)):
        (folder / f"model_{profile}.xml").write_text(_document(profile, parts))
    return folder


def _document(profile: str, parts: list[str]) -> str:
    head = (
        '<?xml version="1.0" encoding="utf-8"?>\n<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
        'xmlns:cim="http://iec.ch/TC57/2013/CIM-schema-cim16#" xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#" '
        'xmlns:entsoe="http://entsoe.eu/CIM/SchemaExtension/3/1#">\n'
    )
    model = f'<md:FullModel rdf:about="urn:uuid:{profile}"><md:Model.profile>{PROFILES[profile]}</md:Model.profile></md:FullModel>\n'
    return head + model + "\n".join(parts) + "\n</rdf:RDF>\n"


def _line(name: str) -> str:
    values = {"IdentifiedObject.name": name, "Conductor.length": 2, "ACLineSegment.r": 0.8, "ACLineSegment.x": 0.6,
              "ACLineSegment.bch": 0.00002, "ACLineSegment.gch": 0}  # fmt: skip
    limits = _one(
        "OperationalLimitSet",
        f"set-{name}",
        {"IdentifiedObject.name": "rating"},
        {"OperationalLimitSet.Equipment": name} if name == "line-1" else {"OperationalLimitSet.Terminal": "t-l2a"},
    )
    limits += _one("OperationalLimitType", f"type-{name}", {"IdentifiedObject.name": "PATL"}, {},
                   'rdf:resource="http://entsoe.eu/CIM/SchemaExtension/3/1#LimitTypeKind.patl"')  # fmt: skip
    limits += _one("CurrentLimit", f"limit-{name}", {"CurrentLimit.value": 300},
                   {"OperationalLimit.OperationalLimitSet": f"set-{name}", "OperationalLimit.OperationalLimitType": f"type-{name}"})  # fmt: skip
    return _one("ACLineSegment", name, values, {"ConductingEquipment.BaseVoltage": "kv10"}) + limits


def _one(kind: str, name: str, values: dict[str, object], references: dict[str, str] | None = None, kind_of: str = "") -> str:
    inside = "".join(f"<cim:{key}>{value}</cim:{key}>" for key, value in values.items())
    inside += "".join(f'<cim:{key} rdf:resource="#{other}"/>' for key, other in (references or {}).items())
    if kind == "RegulatingControl" and kind_of:
        inside += f"<cim:RegulatingControl.mode {kind_of}/>"
    if kind == "OperationalLimitType" and kind_of:
        inside += f"<entsoe:OperationalLimitType.limitType {kind_of}/>"
    return f'<cim:{kind} rdf:ID="{name}">{inside}</cim:{kind}>'


def _about(kind: str, name: str, values: dict[str, object], more: str = "", bare: bool = False) -> str:
    inside = "".join(f"<cim:{key}>{value}</cim:{key}>" for key, value in values.items())
    if more:
        inside += more if bare else f"<cim:RegulatingControl.targetValueUnitMultiplier {more}/>"
    return f'<cim:{kind} rdf:about="#{name}">{inside}</cim:{kind}>'

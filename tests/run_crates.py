"""A run's crate as a stranger reads it: what RO-Crate 1.1 and the profile Workflow Run Crate ask for, and its bytes."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

Crate = dict[str, dict[str, Any]]


def read_crate(results: Path) -> Crate:
    """The entities of a crate by id, each of which stands there once."""
    said = json.loads((results / "ro-crate-metadata.json").read_text(encoding="utf-8"))
    assert said["@context"][0] == "https://w3id.org/ro/crate/1.1/context"
    crate = {entity["@id"]: entity for entity in said["@graph"]}
    assert len(crate) == len(said["@graph"])
    return crate


def many(value: Any) -> list[Any]:
    """A property as a list, whether it has one value or more, or none."""
    return value if isinstance(value, list) else [] if value is None else [value]


def linked(crate: Crate, entity: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """What a property of an entity refers to."""
    return [crate[one["@id"]] for one in many(entity.get(name))]


def assert_profile(results: Path) -> Crate:
    """Hold a crate to what the profile says must be, and to the files that lie there."""
    crate = read_crate(results)
    about, root = crate["ro-crate-metadata.json"], crate["./"]
    assert about["@type"] == "CreativeWork" and about["about"] == {"@id": "./"}
    assert {"@id": "https://w3id.org/ro/crate/1.1"} in many(about["conformsTo"])
    assert root["@type"] == "Dataset" and root["name"] and root["description"] and root["license"]
    assert datetime.fromisoformat(root["datePublished"]).tzinfo is not None
    profiles = {one["@id"].rsplit("/", 1)[0] for one in linked(crate, root, "conformsTo")}
    assert {"https://w3id.org/ro/wfrun/workflow", "https://w3id.org/ro/wfrun/process"} <= profiles
    _assert_linked(crate)
    _assert_workflow(crate, root)
    _assert_actions(crate, root)
    _assert_parts(crate, root, results)
    return crate


def _assert_linked(crate: Crate) -> None:
    for entity in crate.values():
        for name, value in entity.items():
            refers = [one["@id"] for one in many(value) if isinstance(one, dict)]
            strange = [one for one in refers if one not in crate and (one[0] == "#" or ":" not in one)]
            assert strange == [], (entity["@id"], name)


def _assert_workflow(crate: Crate, root: dict[str, Any]) -> None:
    (workflow,) = linked(crate, root, "mainEntity")
    assert set(workflow["@type"]) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    (language,) = linked(crate, workflow, "programmingLanguage")
    assert language["@type"] == "ComputerLanguage" and language["name"] == "Snakemake"
    for parameter in linked(crate, workflow, "input"):
        assert parameter["@type"] == "FormalParameter" and parameter["additionalType"]
    runs = [one for one in crate.values() if one.get("instrument") == root["mainEntity"]]
    assert [one["@type"] for one in runs] == ["CreateAction"]


def _assert_actions(crate: Crate, root: dict[str, Any]) -> None:
    actions = {key: one for key, one in crate.items() if one["@type"] == "CreateAction"}
    assert {one["@id"] for one in many(root["mentions"])} == set(actions)
    for action in actions.values():
        (instrument,) = linked(crate, action, "instrument")
        assert instrument["@id"] == "provenance/Snakefile" or instrument["softwareVersion"]
        times = [datetime.fromisoformat(action[name]) for name in ("startTime", "endTime") if name in action]
        assert times == sorted(times)
        assert ("error" in action) == action.get("actionStatus", "").endswith("/FailedActionStatus")


def _assert_parts(crate: Crate, root: dict[str, Any], results: Path) -> None:
    parts = {one["@id"] for one in many(root["hasPart"])}
    data = {key for key, one in crate.items() if {"File", "Dataset"} & set(many(one["@type"])) and key[0] != "#"}
    assert parts == data - {"./"}
    for key in parts - {"logs/", "benchmarks/"}:
        path, entity = results / unquote(key), crate[key]
        assert entity["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest(), key
        assert int(entity["contentSize"]) == path.stat().st_size, key

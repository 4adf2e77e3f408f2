"""What the Snakemake workflow catalogue reads, as far as the layout of this repository allows."""

from __future__ import annotations

import jsonschema
import yaml
from contract.source import REPOSITORY

# After the catalogue's page "Adding workflows" and the keys that its scripts read.
SWITCH = {"type": "boolean"}
SCHEMA = {
    "type": "object",
    "required": ["usage"],
    "additionalProperties": False,
    "properties": {
        "usage": {
            "type": "object",
            "required": ["software-stack-deployment"],
            "additionalProperties": False,
            "properties": {
                "mandatory-flags": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "desc": {"type": "string"},
                        "flags": {"type": ["string", "array"], "items": {"type": "string", "pattern": "^-"}},
                    },
                },
                "software-stack-deployment": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        **dict.fromkeys(["conda", "apptainer", "apptainer+conda"], SWITCH),
                        **dict.fromkeys(["singularity", "singularity+conda", "report"], SWITCH),
                    },
                },
                "report": SWITCH,
            },
        },
    },
}


def test_file_of_the_catalogue_has_its_form() -> None:
    text = (REPOSITORY / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8")
    jsonschema.validate(yaml.safe_load(text), SCHEMA)


def test_what_the_catalogue_looks_for_is_there() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8").lower()
    assert "snakemake" in readme and "workflow" in readme
    for name in ("Snakefile", "config/README.md", "LICENSE"):
        assert (REPOSITORY / name).is_file()

"""One truth per fact: what is generated from the models is what the repository holds."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml
from contract.source import REPOSITORY

from cellseg.cohort_columns import (
    LEDGER_COLUMNS,
    PATIENT_SUMMARY_COLUMNS,
    SLIDE_SUMMARY_COLUMNS,
    SUMMARY_COLUMNS,
    TISSUE_SUMMARY_COLUMNS,
    WDBC_COLUMNS,
)
from cellseg.columns import COLUMNS, written_name
from cellseg.config import Config
from cellseg.io.settings import config_yaml
from cellseg.stages.describe import columns_markdown, config_schema, samples_schema
from cellseg.stages.describe_settings import config_readme

CURE = "generated files are stale: run `make docs`"


@pytest.mark.parametrize(("name", "schema"), [("config", config_schema()), ("samples", samples_schema())])
def test_schema_is_the_models(name: str, schema: dict) -> None:
    stored = json.loads((REPOSITORY / "workflows" / "schemas" / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(schema)), CURE
    jsonschema.Draft202012Validator.check_schema(stored)


def test_config_yaml_is_the_models() -> None:
    assert (REPOSITORY / "config.yaml").read_text(encoding="utf-8") == config_yaml(), CURE


def test_readme_of_the_configuration_is_the_models() -> None:
    assert (REPOSITORY / "config" / "README.md").read_text(encoding="utf-8") == config_readme(), CURE


def test_config_yaml_holds_every_default_and_fits_the_schema() -> None:
    settings = yaml.safe_load((REPOSITORY / "config.yaml").read_text(encoding="utf-8"))
    assert settings == json.loads(Config().model_dump_json())
    jsonschema.validate(settings, config_schema())


def test_config_schema_refuses_unknown_keys_at_every_depth() -> None:
    settings = json.loads(Config().model_dump_json())
    for section in (settings, settings["segmentation"], settings["segmentation"]["threshold"], settings["preprocess"]):
        section["misspelt"] = 1
        with pytest.raises(jsonschema.ValidationError, match="misspelt"):
            jsonschema.validate(settings, config_schema())
        del section["misspelt"]


def test_samples_schema_fills_and_refuses() -> None:
    row = {"sample": "a", "path": "a.tif"}
    jsonschema.validate(
        {"samples": [row, row | {"mpp": 0.5, "stain": "giemsa", "group": "reference"}]}, samples_schema()
    )
    for fault in ({"stain": "unheard-of"}, {"group": "control"}, {"unknown": "x"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"samples": [row | fault]}, samples_schema())


def test_tables_md_is_columns_py() -> None:
    text = (REPOSITORY / "docs" / "tables.md").read_text(encoding="utf-8")
    assert text == columns_markdown(), CURE
    cohort = (SUMMARY_COLUMNS, TISSUE_SUMMARY_COLUMNS, WDBC_COLUMNS, SLIDE_SUMMARY_COLUMNS, PATIENT_SUMMARY_COLUMNS)
    columns = [column for table in (COLUMNS, *cohort, LEDGER_COLUMNS) for column in table]
    missing = [column.name for column in columns if f"`{written_name(column)}`" not in text]
    assert not missing

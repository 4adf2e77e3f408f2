"""Every fault of settings, sheet and results folder in one message; missing images are left to their samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from cellseg.config import Config
from cellseg.errors import ConfigError
from cellseg.stages.inputs import check_inputs


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    path = tmp_path / "samples.tsv"
    path.write_text("sample\tpath\na\tnot-there.tif\n")
    return path


def test_defaults_are_filled_in_and_missing_images_pass(sheet: Path, tmp_path: Path) -> None:
    settings = check_inputs({"samples": str(sheet), "results": str(tmp_path / "out"), "compute": {"tile_px": "512"}})
    assert settings["compute"]["tile_px"] == 512
    assert settings["segmentation"] == Config().model_dump(mode="json")["segmentation"]


def test_faults_of_all_three_in_one_message(sheet: Path, tmp_path: Path) -> None:
    sheet.write_text("sample\tpath\tgroup\na/b\ta.tif\tcontrol\n")
    settings = {"samples": str(sheet), "results": str(sheet / "out"), "segmentation": {"treshold": {}}}
    with pytest.raises(ConfigError) as caught:
        check_inputs(settings)
    message = str(caught.value)
    assert "\n" not in message
    for words in ("segmentation.treshold", "line 2", "a/b", "control", "is a file, not a folder"):
        assert words in message


def test_no_sheet_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cellseg init"):
        check_inputs({"samples": str(tmp_path / "samples.tsv")})


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"classify": {"rules": [{"column": "areaa_um2", "above": 1}]}},
            "rules.0.column: no column is called",
        ),
        ({"classify": {"reference": {"features": ["area_umm2"]}}}, "classify.reference.features.0"),
        ({"classify": {"rules": [{"column": "status", "above": 1}]}}, "status is no number"),
        ({"measure": {"families": ["shape"]}}, "classify.exclude.min_focus_fraction: edge_sharpness_per_um"),
        ({"polygons": {"features": ["nucleus_aera_um2"]}}, "polygons.features.0: no column is called"),
        ({"report": {"plot_features": ["tissue"]}}, "report.plot_features.0: tissue is no number"),
        (
            {
                "measure": {
                    "families": ["shape", "intensity", "focus", "neighborhood", "contrast"],
                    "contrast_features": ["form_factor"],
                }
            },
            "measure.contrast_features.0: form_factor is of the family form",
        ),
    ],
)
def test_columns_that_no_table_will_have_are_faults(sheet: Path, tmp_path: Path, settings: dict, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_inputs({"samples": str(sheet), "results": str(tmp_path / "out")} | settings)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"rules": [{"column": "area_um2", "above": 1, "tissues": ["gland"]}]}, "classify.rules.0.tissues looks at"),
        ({"rules": [{"column": "signed_distance_gland_um", "above": 1}]}, "column: signed_distance_gland_um looks at"),
        ({"exclude": {"tissues": ["gland"]}}, "classify.exclude.tissues looks at"),
        ({"reference": {"by_tissue": True}}, "classify.reference.by_tissue looks at"),
    ],
)
def test_tissues_of_cells_are_a_fault_only_without_maps(sheet: Path, tmp_path: Path, section: dict, words: str) -> None:
    settings = {"samples": str(sheet), "results": str(tmp_path / "out"), "classify": section}
    check_inputs(settings | {"tissue": {"enabled": True}})
    with pytest.raises(ConfigError, match=r"set tissue\.enabled: true, or take it away") as caught:
        check_inputs(settings)
    assert words in str(caught.value)


def test_weights_that_are_not_there_are_a_fault_only_where_they_are_wanted(sheet: Path, tmp_path: Path) -> None:
    settings = {"samples": str(sheet), "results": str(tmp_path / "out")}
    check_inputs(settings | {"tissue": {"weights": "own.safetensors"}})
    for section in (
        {"tissue": {"enabled": True, "weights": "own.safetensors"}},
        {"segmentation": {"method": "maskrcnn", "maskrcnn": {"weights": "own.safetensors"}}},
    ):
        with pytest.raises(ConfigError, match=r"weights own\.safetensors: no such file"):
            check_inputs(settings | section)


def test_small_samples_together_and_slides_cut_do_not_go_together(sheet: Path) -> None:
    settings = {"samples": str(sheet), "compute": {"samples_per_job": 50, "shards": 8}}
    with pytest.raises(ConfigError, match=r"samples_per_job 50 .* shards 8 .* set one of compute\.samples_per_job and"):
        check_inputs(settings)

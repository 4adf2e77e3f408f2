"""Settings: the generated file is the models, and every fault is named with its dotted path."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from cellseg.config import Config, SegmentationSettings
from cellseg.errors import ConfigError
from cellseg.io.settings import config_yaml, read_config, read_segmentation, read_settings
from cellseg.measure_config import MeasureSettings


def config(tmp_path: Path, text: str) -> Path:
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    return tmp_path / "config.yaml"


def fault_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config(config(tmp_path, text))
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(tmp_path / "config.yaml"))
    return str(caught.value)


def test_the_generated_file_loads_back_to_the_defaults(tmp_path: Path) -> None:
    assert read_config(config(tmp_path, config_yaml())) == Config()
    assert yaml.safe_load(config_yaml()) == Config().model_dump(mode="json")


def test_every_setting_has_a_comment_line() -> None:
    lines = [line for line in config_yaml().splitlines() if line.strip()]
    uncommented = []

    def check(model: type[BaseModel], depth: int) -> None:
        for name, field in model.model_fields.items():
            found = [i for i, line in enumerate(lines) if line.startswith("  " * depth + name + ":")]
            assert found, f"{name} is missing"
            uncommented.extend(lines[i] for i in found if not lines[i - 1].startswith("  " * depth + "# "))
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                check(field.annotation, depth + 1)

    check(Config, 0)
    assert uncommented == []


def test_empty_files_and_sections_are_the_defaults(tmp_path: Path) -> None:
    assert read_config(config(tmp_path, "")) == Config()
    assert read_config(config(tmp_path, "report:\nsegmentation:\n  threshold:\n")) == Config()
    assert read_config(None) == Config()


def test_overrides_nested_and_dotted(tmp_path: Path) -> None:
    path = config(tmp_path, "segmentation: {threshold: {method: li, factor: 2}}\n")
    found = read_config(path, {"samples": "mine.tsv", "segmentation.threshold.factor": 3, "compute": {"tile_px": 512}})
    assert (found.samples, found.compute.tile_px) == ("mine.tsv", 512)
    assert (found.segmentation.threshold.method, found.segmentation.threshold.factor) == ("li", 3.0)
    with pytest.raises(ConfigError, match=r"settings: compute\.tile_px: 5 found"):
        read_config(None, {"compute.tile_px": 5})


def test_all_faults_in_one_message(tmp_path: Path) -> None:
    message = fault_of(
        tmp_path,
        "segmentation:\n  threshold: {metod: otsu, factor: -1, method: osu}\n"
        "compute: {tile_px: 3.5}\nreprot: {}\nclassify: {rules: [{column: area_um2}]}\n",
    )
    for expected in (
        "segmentation.threshold.metod: unknown key; did you mean method?",
        "segmentation.threshold.factor: -1 found, expected greater than",
        "segmentation.threshold.method: 'osu' found",
        "did you mean otsu?",
        "compute.tile_px: 3.5 found",
        "reprot: unknown key; did you mean report?",
        "classify.rules.0: a rule needs above, below or both",
    ):
        assert expected in message, f"{expected!r} not in {message!r}"


def test_faults_under_a_stain_name_it(tmp_path: Path) -> None:
    message = fault_of(tmp_path, "segmentation: {by_stain: {he: {factr: 1}, giemsa: {factor: -2}, hematoxylin: {}}}")
    assert "segmentation.by_stain.hematoxylin: 'hematoxylin' found" in message
    message = fault_of(tmp_path, "segmentation: {by_stain: {he: {factr: 1}, giemsa: {factor: -2}}}")
    assert "segmentation.by_stain.he.factr: unknown key; did you mean factor?" in message
    assert "segmentation.by_stain.giemsa.factor: -2 found" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: [1", "line 1: not valid YAML"),
        ("samples: a\nresults: b\nsamples: c\n", "key 'samples' is on line 1 and on line 3"),
        ("- a\n- b\n", "a list, expected settings"),
        ("input: {max_decoded_mpx: .inf}", "input.max_decoded_mpx: inf found"),
        ("report: 5", "report: 5 found"),
    ],
)
def test_what_is_no_settings_file(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in fault_of(tmp_path, text)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read .*cellseg config"):
        read_config(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_config(tmp_path / "b.yaml")


def test_settings_of_a_section_inline_or_from_a_file(tmp_path: Path) -> None:
    assert read_settings(MeasureSettings, None) == MeasureSettings()
    assert read_settings(MeasureSettings, ' {"density_radius_um": 20}').density_radius_um == 20
    (tmp_path / "m.json").write_text(json.dumps({"density_radius_um": 30}))
    assert read_settings(MeasureSettings, str(tmp_path / "m.json")).density_radius_um == 30
    with pytest.raises(ConfigError, match=r"--settings: density_radius: unknown key; did you mean density_radius_um\?"):
        read_settings(MeasureSettings, '{"density_radius": 20}')
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_settings(MeasureSettings, '{"density_radius_um": ')


def test_segmentation_takes_its_threshold_part_alone() -> None:
    whole = read_segmentation('{"threshold": {"method": "li"}, "by_stain": {"he": {"factor": 2}}}')
    assert (whole.threshold.method, whole.for_stain("he").factor) == ("li", 2.0)
    assert read_segmentation('{"method": "fixed", "value": 149}').threshold.value == 149
    assert read_segmentation('{"factor": 2}', "threshold").threshold.factor == 2
    assert read_segmentation(None, "threshold") == SegmentationSettings()
    with pytest.raises(ConfigError, match=r"threshold\.factr: unknown key; did you mean factor"):
        read_segmentation('{"factr": 2}')


def test_segmentation_takes_the_part_of_its_method_alone() -> None:
    assert read_segmentation('{"min_score": 0.7}', "maskrcnn").maskrcnn.min_score == 0.7
    whole = read_segmentation('{"method": "maskrcnn", "maskrcnn": {"min_score": 0.7}}')
    assert (whole.method, whole.maskrcnn.min_score) == ("maskrcnn", 0.7)
    assert read_segmentation('{"method": "maskrcnn"}').method == "maskrcnn"
    assert read_segmentation('{"method": "theirs"}').method == "theirs"
    other = read_segmentation('{"radius": 3, "method": "deep"}', "theirs")
    assert (other.method, other.plugin) == ("theirs", {"radius": 3, "method": "deep"})
    assert read_segmentation('{"plugin": {"radius": 3}}', "theirs") == read_segmentation('{"radius": 3}', "theirs")
    with pytest.raises(ConfigError, match=r"maskrcnn\.min_scor: unknown key; did you mean min_score"):
        read_segmentation('{"min_scor": 0.7}', "maskrcnn")

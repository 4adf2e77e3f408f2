"""The fit on slides: draws that hang on no order, how features are matched, and slides far from a reference."""

from __future__ import annotations

import numpy as np
import pytest
from cell_tables import measured, write_measured

from cellseg.classify_config import ClassifySettings, ReferenceSettings
from cellseg.stages.classify import drift_notes
from cellseg.stages.feature_choice import match_features
from cellseg.stages.reference import fit_reference


@pytest.mark.parametrize("score", ["covariance", "isolation_forest", "nearest", "rms", "max"])
def test_slides_in_any_order_and_row_groups_give_the_same_bytes(tmp_path, score):
    """Of more cells than are fitted, so that draws must not depend on them either."""
    reference = ReferenceSettings(features=("area_um2", "shape"), score=score, n_trees=10, max_fit_cells=130, z_clip=60)
    settings = ClassifySettings(rules=(), reference=reference)
    tables = [measured(n, sample=sample, seed=n) for sample, n in (("b", 90), ("a", 80), ("c", 12))]
    for name, n_rows in (("whole", 90), ("parts", 33)):
        for at, table in enumerate(tables):
            parts = [table.slice(row, n_rows) for row in range(0, table.num_rows, n_rows)]
            write_measured(tmp_path / name / f"{at}.parquet", *parts)
        paths = sorted((tmp_path / name).iterdir(), reverse=name == "parts")
        assert fit_reference(paths, tmp_path / f"{name}.json", stain="he", settings=settings).usable
    assert (tmp_path / "whole.json").read_bytes() == (tmp_path / "parts.json").read_bytes()


def test_small_slides_give_all_their_cells_and_large_ones_even_draws(tmp_path):
    reference = ReferenceSettings(features=("area_um2",), score="nearest", max_fit_cells=100, interval=0.999)
    settings = ClassifySettings(rules=(), reference=reference)
    ramps = {"a": np.linspace(1000, 2000, 400), "b": np.linspace(3000, 4000, 300), "c": np.linspace(30, 40, 10)}
    paths = []
    for name, ramp in ramps.items():
        table = measured(ramp.size, sample=name, area_um2=ramp)
        paths.append(write_measured(tmp_path / f"{name}.parquet", *(table.slice(at, 64) for at in range(0, 400, 64))))
    fit = fit_reference(paths, tmp_path / "r.json", stain="he", settings=settings)
    drawn = [np.linspace(0, ramps[name].size - 1, 45).astype(int) for name in "ab"]
    expected = np.concatenate([ramps["a"][drawn[0]], ramps["b"][drawn[1]], ramps["c"]])
    assert fit.n_cells == 100
    one = fit.features["nucleus_area_um2"]
    assert one.median == pytest.approx(np.median(expected))
    assert (one.low, one.high) == pytest.approx(tuple(np.quantile(expected, [0.0005, 0.9995])))
    z = np.clip((expected - one.median) / one.mad, -6, 6)
    np.testing.assert_allclose(fit.scorer.cells[:, 0], z, rtol=1e-7, atol=1e-8)


def test_features_are_matched_by_name_pattern_and_family_in_the_tables_order():
    schema = measured(0).schema
    assert match_features("area_um2", schema) == match_features("nucleus_area_um2", schema) == ["nucleus_area_um2"]
    shape = match_features("shape", schema)
    assert shape == [name for name in schema.names if name in shape]
    assert shape != sorted(shape)
    assert match_features("*_gray_q05", schema) == ["nucleus_intensity_gray_q05"]
    assert "sample" not in match_features("*", schema)
    assert match_features("areola", schema) == []


class TestDrift:
    SETTINGS = ClassifySettings(rules=(), reference=ReferenceSettings(features=("area_um2", "solidity")))

    def notes(self, tmp_path, *batches, settings=SETTINGS, reference="r.json"):
        slide = write_measured(tmp_path / "slide.parquet", *batches)
        return drift_notes(slide, reference and tmp_path / reference, settings)

    @pytest.fixture(autouse=True)
    def reference(self, tmp_path):
        parts = [write_measured(tmp_path / f"{seed}.parquet", measured(200, seed=seed)) for seed in range(3)]
        fit_reference(parts, tmp_path / "r.json", stain="he", settings=self.SETTINGS)

    def test_a_slide_like_the_reference_has_none(self, tmp_path):
        assert self.notes(tmp_path, measured(300, seed=9)) == []

    def test_a_shifted_slide_is_told_the_farthest_feature_first(self, tmp_path):
        slide = measured(300, seed=9, area_um2=np.linspace(70, 90, 300), solidity=np.linspace(5, 6, 300))
        first, second = self.notes(tmp_path, slide.slice(0, 50), slide.slice(50))
        assert first.startswith("nucleus_solidity: the slide's median 5.5 is +")
        assert second.startswith("nucleus_area_um2: the slide's median 80 is +2.")
        assert "robust z from the healthy 59.9 (interval 4" in second

    def test_how_far_is_a_setting(self, tmp_path):
        slide = measured(300, seed=9, area_um2=np.linspace(70, 90, 300))
        reference = self.SETTINGS.reference.model_copy(update={"drift_shift": 3.5})
        assert self.notes(tmp_path, slide, settings=self.SETTINGS.model_copy(update={"reference": reference})) == []

    def test_a_few_cells_and_missing_values_drift_nowhere(self, tmp_path):
        assert self.notes(tmp_path, measured(49, area_um2=np.full(49, 500.0))) == []
        few = np.where(np.arange(300) < 49, 500.0, np.nan)
        assert self.notes(tmp_path, measured(300, area_um2=few)) == []
        assert self.notes(tmp_path) == []
        half = np.where(np.arange(300) < 150, 100.0, np.nan)
        assert "median 100 is" in self.notes(tmp_path, measured(300, area_um2=half))[0]

    def test_nothing_is_said_where_no_reference_judges(self, tmp_path):
        slide = measured(300, area_um2=np.full(300, 500.0))
        assert self.notes(tmp_path, slide, reference=None) == []
        reference = self.SETTINGS.reference.model_copy(update={"enabled": False})
        assert self.notes(tmp_path, slide, settings=self.SETTINGS.model_copy(update={"reference": reference})) == []
        fit_reference([], tmp_path / "r.json", stain="he", settings=self.SETTINGS)
        assert self.notes(tmp_path, slide) == []

    def test_a_large_slide_is_looked_at_evenly(self, tmp_path):
        # the first half of the cells is like the reference, of the last more than half is not
        area = np.concatenate([np.full(20_000, 60.0), np.full(25_000, 100.0)])
        slide = measured(45_000, area_um2=area)
        for n_rows in (9_000, 45_000):
            parts = [slide.slice(at, n_rows) for at in range(0, 45_000, n_rows)]
            assert "median 100 is" in self.notes(tmp_path, *parts)[0]

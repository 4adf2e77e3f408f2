"""Evaluation of files: pairs found by name, strips that add up, points against simulated truth."""

import json

import numpy as np
import pytest
from fields import blobs, bricks, raster_ids

from cellseg.errors import ConfigError, LabelError, TableError
from cellseg.evaluate.matching import count_overlaps, figures, score_image
from cellseg.io.labels import write_labels
from cellseg.stages.evaluate import (
    evaluate_labels,
    evaluate_points,
    format_label_rows,
    format_rows,
    read_overlaps,
    read_points,
    write_rows,
)
from cellseg.stages.pairs import Pair, find_pairs, read_pairs
from cellseg.stages.simulate import simulate_sample


def save(path, labels):
    strips = (labels[y : y + 512] for y in range(0, labels.shape[0], 512))
    write_labels(path, strips, height_px=labels.shape[0], width_px=labels.shape[1], mpp=0.5)
    return path


def test_strips_of_a_tall_image_add_up(tmp_path):
    truth, prediction = blobs((2100, 64)), np.roll(blobs((2100, 64)), 2, axis=1)
    got = read_overlaps(save(tmp_path / "p.ome.tif", prediction), save(tmp_path / "t.ome.tif", truth))
    expected = count_overlaps(truth, prediction)
    assert np.array_equal(got.intersections, expected.intersections)
    assert np.array_equal(got.true_areas, expected.true_areas)


def test_rows_are_per_group_with_intervals(tmp_path):
    truth = save(tmp_path / "t.ome.tif", blobs((96, 96)))
    wrong = save(tmp_path / "w.ome.tif", bricks((96, 96), height_px=48, width_px=48))
    pairs = [Pair(truth, truth, "good"), Pair(truth, truth, "mixed"), Pair(wrong, truth, "mixed")]
    good, mixed = evaluate_labels(pairs, n_draws=50)
    assert (good["group"], good["n_images"], good["ap@0.5"]) == ("good", 1, 1.0)
    assert np.isnan(good["ap@0.5_low"])
    assert mixed["n_true"] == 2 * good["n_true"]
    assert 0 < mixed["ap@0.5"] < 1
    # two images: a draw may take either one twice
    assert (mixed["ap@0.5_low"], mixed["ap@0.5_high"]) == (0.0, 1.0)
    expected = figures([score_image(blobs((96, 96)), bricks((96, 96), height_px=48, width_px=48))])
    assert evaluate_labels([Pair(wrong, truth)], n_draws=2)[0]["aji"] == expected["aji"]


def test_the_text_has_every_figure_and_ap_at_every_threshold(tmp_path):
    labels = save(tmp_path / "t.ome.tif", blobs((96, 96)))
    rows = evaluate_labels([Pair(labels, labels, "he"), Pair(labels, labels, "he")], n_draws=10)
    figures_of, curve = format_label_rows(rows).split("\n\n")
    assert {"group", "n_true", "ap_mean", "precision@0.5", "recall@0.5", "f1@0.5", "pq", "aji", "dice"} <= set(
        figures_of.split("\n")[0].split()
    )
    header, line = curve.split("\n")
    assert header.split() == ["group", *(f"ap@{t}" for t in (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9))]
    assert line.split() == ["he", *["1.000"] * 9]
    assert format_label_rows([]) == "nothing to evaluate"


def test_sizes_that_differ_name_both_files(tmp_path):
    small, large = save(tmp_path / "s.ome.tif", blobs((64, 64))), save(tmp_path / "l.ome.tif", blobs((64, 96)))
    with pytest.raises(LabelError, match=r"s\.ome\.tif is 64 x 64 px.*l\.ome\.tif is 64 x 96 px"):
        read_overlaps(small, large)


def test_folders_are_paired_by_name(tmp_path):
    for folder in ("pred", "truth"):
        (tmp_path / folder).mkdir()
    labels = blobs((64, 64))
    save(tmp_path / "pred" / "a.ome.tif", labels)
    save(tmp_path / "pred" / "b.ome.tif", labels)
    save(tmp_path / "truth" / "a_labels.tif", labels)
    (tmp_path / "truth" / "a.png").touch()
    pairs = find_pairs(tmp_path / "pred", tmp_path / "truth")
    assert [(p.prediction.name, p.truth.name) for p in pairs] == [("a.ome.tif", "a_labels.tif")]
    save(tmp_path / "truth" / "c_labels.tif", labels)
    with pytest.raises(ConfigError, match="no prediction for c"):
        find_pairs(tmp_path / "pred", tmp_path / "truth")


def test_a_results_folder_is_paired_by_sample(tmp_path):
    labels = blobs((64, 64))
    save(tmp_path / "results" / "samples" / "a" / "segment" / "labels.ome.tif", labels)
    save(tmp_path / "truth" / "a.ome.tif", labels)
    (pair,) = find_pairs(tmp_path / "results", tmp_path / "truth")
    assert pair.prediction.parent.parent.name == "a"


def test_a_file_and_a_folder_are_no_pair(tmp_path):
    with pytest.raises(ConfigError, match="two files or two folders"):
        find_pairs(save(tmp_path / "a.ome.tif", blobs((64, 64))), tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        find_pairs(tmp_path / "none", tmp_path)


def test_a_table_of_pairs(tmp_path):
    (tmp_path / "pairs.csv").write_text("prediction,truth,group\np/a.tif,t/a.tif,he\nb.tif,c.tif,\n")
    assert read_pairs(tmp_path / "pairs.csv") == (
        Pair(tmp_path / "p/a.tif", tmp_path / "t/a.tif", "he"),
        Pair(tmp_path / "b.tif", tmp_path / "c.tif", "all"),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "no rows"), ("prediction,other\na,b\n", "other"), ("prediction,truth\na,\n", "line 2")],
)
def test_a_faulty_table_says_where(tmp_path, text, message):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_pairs(tmp_path / "pairs.csv")


def test_points_files(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,class\n3,1,a\n")
    (tmp_path / "b.txt").write_text("3 1 0\n")
    (tmp_path / "c.csv").write_text("cell_id,centroid_y_px,centroid_x_px\n1,1.0,3.0\n")
    for name in ("a.csv", "b.txt", "c.csv"):
        assert read_points(tmp_path / name).tolist() == [[1.0, 3.0]], name
    (tmp_path / "d.csv").write_text("row,col\n1,2\n")
    with pytest.raises(TableError, match="row, col"):
        read_points(tmp_path / "d.csv")
    (tmp_path / "e.csv").write_text("x,y\n1,two\n")
    with pytest.raises(TableError, match="two"):
        read_points(tmp_path / "e.csv")


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return simulate_sample(tmp_path_factory.mktemp("simulated"), "mixed", kind="mixed", seed=3, size_px=256)


def test_true_centroids_lie_in_their_cells(sample):
    (row,) = evaluate_points([Pair(sample.truth_labels, sample.truth_table)], n_draws=2)
    assert row["n_points"] == sample.n_nuclei
    # a bent or cut nucleus may have its centroid outside
    assert row["alone"] > 0.98


def test_rows_as_text_and_json(tmp_path):
    rows = [{"group": "he", "n_true": 7, "f1": 0.5, "f1_low": 0.25, "f1_high": 0.75, "other": float("nan")}]
    text = format_rows(rows)
    assert "0.500 (0.250-0.750)" in text
    assert "other" not in text
    assert format_rows(rows, ["group", "other"]).splitlines()[1].split() == ["he", "-"]
    assert format_rows([]) == "nothing to evaluate"
    write_rows(tmp_path / "rows.json", rows)
    assert json.loads((tmp_path / "rows.json").read_text())[0]["other"] is None


def test_raster_ids_leave_figures_alone():
    labels = blobs((96, 96))
    names = np.random.default_rng(0).permutation(labels.max()) + 1
    renamed = np.concatenate([[0], names])[labels].astype(np.uint32)
    assert np.array_equal(raster_ids(renamed), labels)
    assert figures([score_image(labels, renamed)])["ap@0.9"] == 1.0

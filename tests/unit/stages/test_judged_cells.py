"""Cells with truth and verdict, of a table, of results with labels, and of label images; and what is refused."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from cellseg.errors import TableError
from cellseg.stages.judged_cells import VerdictCase, read_cases, read_judged, read_predictions, read_truth
from cellseg.stages.simulate import simulate_sample


def predictions(**columns):
    plain = {
        "sample": ["s1", "s1", "s2", "s2"], "cell_id": [1, 2, 1, 2], "group": ["1", "1", "2", "2"],
        "class": ["normal", "burr", "normal", "burr"], "abnormal": [False, True, False, True],
        "abnormal_probability": [0.2, 0.55, 0.5, 0.9], "abnormal_score": [-1.0, 0.2, 0.0, 2.0],
        "status": ["healthy", "uncertain", "excluded", "abnormal"],
    }  # fmt: skip
    return pa.table({name: value for name, value in (plain | columns).items() if value is not None})


def write(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_table_of_predictions(tmp_path, suffix):
    table = read_predictions(write(tmp_path / f"p.{suffix}", predictions()))
    data = table.data
    # groups that look like numbers stay names
    assert data.groups.tolist() == ["1", "1", "2", "2"]
    assert data.samples.tolist() == ["s1", "s1", "s2", "s2"]
    assert data.classes.tolist() == ["normal", "burr", "normal", "burr"]
    assert data.cells.abnormal.tolist() == [False, True, False, True]
    assert data.cells.called.tolist() == [False, True, False, True]
    assert data.cells.judged.tolist() == [True, True, False, True]
    assert data.cells.decided.tolist() == [True, False, False, True]
    assert (table.name, table.notes, table.threshold) == ("p", (), 0.5)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_columns_that_may_be_there(tmp_path, suffix):
    both = {"healthy_plausible": [False, True, True, False], "abnormal_plausible": [False, False, True, True]}
    path = write(tmp_path / f"p.{suffix}", predictions(threshold=[0.6, 0.6, 0.4, 0.4], **both))
    table = read_predictions(path)
    assert table.data.cells.called.tolist() == [False, False, True, True]
    assert table.data.cells.plausible.tolist() == [[False, False], [True, False], [True, True], [False, True]]
    assert table.threshold is None
    # what the user says wins
    assert read_predictions(path, threshold=0.1).data.cells.called.all()
    path = write(tmp_path / f"c.{suffix}", predictions(called=[True, False, True, False]))
    assert read_predictions(path).data.cells.called.tolist() == [True, False, True, False]
    assert read_predictions(path, threshold=0.5).data.cells.called.tolist() == [False, True, False, True]


def test_columns_that_may_be_absent(tmp_path):
    path = write(
        tmp_path / "p.csv", predictions(sample=None, cell_id=None, abnormal_probability=None, **{"class": None})
    )
    cells = read_predictions(path).data.cells
    assert cells.score.tolist() == [-1.0, 0.2, 0.0, 2.0]
    assert np.isnan(cells.probability).all()
    assert cells.called.tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"group": None}, "no column group; expected"),
        ({"status": None, "abnormal": None}, "no column abnormal, status"),
        ({"abnormal_probability": None, "abnormal_score": None}, "neither abnormal_probability nor abnormal_score"),
        ({"group": ["a", "", " ", "b"]}, "2 of 4 cells have no group.*fill the column"),
        ({"status": ["healthy", "sick", "sick", "healthy"]}, "status 'sick' in a row; expected healthy, abnormal"),
        ({"abnormal": ["yes", "no", "no", "yes"]}, "abnormal is 'no' in a row; expected true or false"),
        ({"abnormal_probability": [0.1, 1.5, 0.2, 0.3]}, "abnormal_probability is 1.5 in a row; expected 0 to 1"),
        ({"threshold": [2.0] * 4}, "threshold is 2 in a row"),
        ({"cell_id": [1, 1, 1, 2]}, "1 cells are there more than once"),
        ({"class": ["burr"] * 4}, "class 'burr' is abnormal in some rows and healthy in others"),
        ({"abnormal_score": ["a", "b", "c", "d"]}, "abnormal_score holds what is no number"),
    ],
)
def test_what_is_refused(tmp_path, columns, message):
    with pytest.raises(TableError, match=message):
        read_predictions(write(tmp_path / "p.parquet", predictions(**columns)))


def test_an_empty_table_is_refused(tmp_path):
    with pytest.raises(TableError, match="no rows"):
        read_predictions(write(tmp_path / "p.parquet", predictions().slice(0, 0)))
    with pytest.raises(TableError, match="no such file"):
        read_predictions(tmp_path / "none.csv")


def labelled(path, samples=("A", "A", "B", "C"), groups=("p", "p", "q", "r")):
    table = {
        "sample": list(samples), "cell_id": pa.array([7, 3, 3, 1], pa.uint32()),
        "class": ["burr", "normal", "burr", "burr"], "abnormal": [True, False, True, True], "group": list(groups),
        "source": ["f"] * 4,
    }  # fmt: skip
    return write(path, pa.table(table))


def results(folder, **columns):
    for sample in ("A", "B"):
        table = {
            "cell_id": pa.array([3, 5, 7], pa.uint32()), "status": ["healthy", "uncertain", "abnormal"],
            "abnormal_probability": [0.1, 0.5, 0.8], "abnormal_score": [1.0, 2.0, 3.0],
        }  # fmt: skip
        table = {name: value for name, value in (table | columns).items() if value is not None}
        write(folder / "samples" / sample / "cells.parquet", pa.table(table))
    return folder


def test_results_against_labelled_cells(tmp_path):
    table = read_judged(results(tmp_path / "r"), labelled(tmp_path / "l.parquet"))
    data = table.data
    assert data.groups.tolist() == ["p", "p", "q"]
    assert data.classes.tolist() == ["burr", "normal", "burr"]
    assert data.cells.probability.tolist() == [0.8, 0.1, 0.1]
    assert data.cells.called.tolist() == [True, False, False]
    assert table.notes == (
        f"1 of 4 labelled cells left out: not among the cells of {tmp_path / 'r'}, which lacks 1 samples",
    )
    higher = read_judged(tmp_path / "r", tmp_path / "l.parquet", threshold=0.85)
    assert not higher.data.cells.called.any()


def test_labelled_cells_that_a_sample_lacks_are_left_out(tmp_path):
    path = labelled(tmp_path / "l.parquet", samples=("A", "A", "A", "B"))
    table = pq.read_table(path)
    ids = pa.array([99, 7, 3, 4], pa.uint32())
    pq.write_table(table.set_column(1, "cell_id", ids), path)
    read = read_judged(results(tmp_path / "r"), path)
    assert read.data.classes.tolist() == ["normal", "burr"]
    assert read.data.cells.probability.tolist() == [0.8, 0.1]
    assert read.notes == (f"2 of 4 labelled cells left out: not among the cells of {tmp_path / 'r'}",)


@pytest.mark.parametrize("probability", [None, [float("nan")] * 3])
def test_results_without_probabilities_are_ranked_by_score(tmp_path, probability):
    folder = results(tmp_path / "r", abnormal_probability=probability)
    cells = read_judged(folder, labelled(tmp_path / "l.parquet")).data.cells
    assert cells.score.tolist() == [3.0, 1.0, 1.0]
    assert cells.called.tolist() == [True, False, False]


def test_results_of_another_run_are_refused(tmp_path):
    folder = results(tmp_path / "r")
    path = labelled(tmp_path / "l.parquet", samples="WXYZ")
    with pytest.raises(TableError, match=r"none of the 4 labelled cells of .*l\.parquet.*4 of 4 samples are not there"):
        read_judged(folder, path)
    with pytest.raises(TableError, match="1 of 3 cells have no group"):
        read_judged(folder, labelled(tmp_path / "l.parquet", groups=("p", "", "q", "r")))
    with pytest.raises(TableError, match="no column status, abnormal_score"):
        read_judged(results(tmp_path / "s", status=None, abnormal_score=None), labelled(tmp_path / "l.parquet"))


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return simulate_sample(tmp_path_factory.mktemp("simulated"), "mixed", kind="mixed", seed=3, size_px=256)


def test_cells_of_label_images_are_matched_by_overlap(sample, tmp_path):
    ids, abnormal = read_truth(sample.truth_table)
    cells = {
        "cell_id": pa.array(ids[::-1], pa.uint32()), "abnormal_score": abnormal[::-1].astype(float),
        "status": np.where(abnormal[::-1], "abnormal", "healthy").tolist(),
    }  # fmt: skip
    path = write(tmp_path / "cells.parquet", pa.table(cells))
    case = VerdictCase(path, sample.truth_labels, sample.truth_labels, sample.truth_table)
    data = read_cases([case, case]).data
    assert data.groups.size == 2 * ids.size
    assert sorted(set(data.samples.tolist())) == ["0", "1"]
    assert np.array_equal(data.cells.called, data.cells.abnormal)
    write(path, pa.table(cells).drop_columns(["abnormal_score"]))
    with pytest.raises(TableError, match="no column abnormal_score"):
        read_cases([case])


def test_faulty_truth_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("cell_id,abnormal\n1,maybe\n")
    with pytest.raises(TableError, match="'maybe' in a row"):
        read_truth(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("cell,abnormal\n1,true\n")
    with pytest.raises(TableError, match="not a truth table"):
        read_truth(tmp_path / "t.csv")

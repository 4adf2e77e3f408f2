"""What other tools call the columns: every column named is one, and what they measure is all there."""

import re

import pytest

from cellseg.columns import COLUMNS, COMPARTMENTS, written_name
from cellseg.columns.equivalents import TOOLS

WRITTEN = {written_name(column) for column in COLUMNS}


def named(ours: str) -> list[str]:
    """The columns of a row of the comparison as `COLUMNS` writes them."""
    first, *more = re.sub(r"\s", "", ours).split(",")
    names = [first, *(part if not part.startswith("_") else first.rsplit("_", 1)[0] + part for part in more)]
    # one compartment, or one value of a placeholder, stands for all
    names = [re.sub(rf"^(?:{'|'.join(COMPARTMENTS)})_(?!cytoplasm|cell|id)", "{compartment}_", name) for name in names]
    names = [re.sub(r"(radial_(?:fraction|mean_fraction|cv))_\d$", r"\1_{ring}", name) for name in names]
    return [re.sub(r"nearest_\{k\}_um", "nearest_2_um", name) for name in names]


@pytest.mark.parametrize("tool", TOOLS)
def test_every_column_named_is_one(tool):
    missing = {
        name
        for row in TOOLS[tool].rows
        if row.ours != "-"
        for name in named(row.ours)
        if name not in WRITTEN and "*" not in name
    }
    assert not missing


@pytest.mark.parametrize("tool", TOOLS)
def test_what_is_not_measured_says_why(tool):
    assert all(row.note for row in TOOLS[tool].rows if row.ours == "-")


def test_all_of_cellprofilers_area_shape_is_there():
    theirs = " ".join(row.theirs for row in TOOLS["cellprofiler"].rows if row.ours != "-")
    for name in (
        "Area", "BoundingBoxArea", "Compactness", "ConvexArea", "Eccentricity", "EquivalentDiameter", "EulerNumber",
        "Extent", "FormFactor", "MajorAxisLength", "MaxFeretDiameter", "MaximumRadius", "MeanRadius", "MedianRadius",
        "MinFeretDiameter", "MinorAxisLength", "Orientation", "Perimeter", "Solidity", "Zernike_0_0", "Zernike_9_9",
        "HuMoment_6", "CentralMoment_2_3", "NormalizedMoment_3_3", "SpatialMoment_2_3", "InertiaTensor_0_0",
        "InertiaTensorEigenvalues_1",
    ):  # fmt: skip
        assert f"AreaShape_{name}" in theirs, name

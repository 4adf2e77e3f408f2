"""Measurements against scikit-image's regionprops and brute force, on ragged, hollow, cut and tiny pieces."""

import numpy as np
import pytest
from fields import blobs, bricks, giant, touching_pairs
from measuring import odd_shapes, recipe_for
from scipy.spatial.distance import pdist
from skimage.measure import regionprops, regionprops_table

from cellseg.measure.boxes import scan_cells
from cellseg.measure.shape import measure_shapes
from cellseg.measure.window import measure_image
from cellseg.measure_config import MeasureSettings

FIELDS = {
    "odd": odd_shapes,
    "fine": lambda: odd_shapes((120, 120), seed=3, sigma_px=1.0),
    "blobs": blobs,
    "touching": touching_pairs,
    "bricks": bricks,
    "giant": lambda: giant((256, 310)),
}
# The same integers divided and rooted in another order: the last bits differ, more where variances cancel (axes of
# near-lines), less than 1e-9 of a pixel on cells of this size. Areas and boxes are whole numbers: equal.
EXACT, CLOSE = 0.0, 1e-9
COLUMNS = [
    ("cell_id", "label", EXACT),
    ("n_pixels", "area", EXACT),
    ("bbox_y0_px", "bbox-0", EXACT),
    ("bbox_x0_px", "bbox-1", EXACT),
    ("bbox_y1_px", "bbox-2", EXACT),
    ("bbox_x1_px", "bbox-3", EXACT),
    ("convex_area_um2", "area_convex", EXACT),
    ("solidity", "solidity", CLOSE),
    ("extent", "extent", CLOSE),
    ("perimeter_um", "perimeter_crofton", CLOSE),
    ("equivalent_diameter_um", "equivalent_diameter_area", CLOSE),
    ("major_axis_um", "axis_major_length", CLOSE),
]
SHAPE = MeasureSettings(families=("shape", "intensity"))


def both(labels, dtype=np.uint8):
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, np.iinfo(dtype).max, (*labels.shape, 1), endpoint=True).astype(dtype)
    cells = scan_cells(labels)
    ours = measure_shapes(labels, cells.ids, cells.boxes, mpp=1.0)
    names = [theirs for _, theirs, _ in COLUMNS if "-" not in theirs]
    more = ["bbox", "centroid", "axis_minor_length", "eccentricity", "orientation", "feret_diameter_max"]
    intensity = ["intensity_mean", "intensity_min", "intensity_max", "intensity_std"]
    theirs = regionprops_table(labels, pixels[..., 0], properties=(*names, *more, *intensity))
    rounded = measure_image(labels, pixels, recipe=recipe_for(pixels), settings=SHAPE)
    return (
        {**rounded, **{name.removeprefix("nucleus_"): values for name, values in rounded.items()}, **ours},
        rounded,
        theirs,
    )


@pytest.mark.parametrize("field", FIELDS)
def test_shape_columns_equal_regionprops(field):
    ours, _, theirs = both(FIELDS[field]())

    for mine, other, tolerance in COLUMNS:
        assert np.abs(ours[mine] - theirs[other]).max() <= tolerance, mine
    # a root of a difference that cancels: an error of 1e-13 in a variance near 0 is 3e-7 in its root
    assert np.abs(ours["minor_axis_um"] - theirs["axis_minor_length"]).max() < 1e-6
    assert np.abs(ours["eccentricity"] - theirs["eccentricity"]).max() < 1e-6


@pytest.mark.parametrize("field", FIELDS)
def test_orientation_equals_regionprops_where_there_is_one(field):
    ours, _, theirs = both(FIELDS[field]())
    longer = ours["major_axis_um"] > ours["minor_axis_um"] * (1 + 1e-9)
    turn = np.abs(ours["orientation_rad"] - theirs["orientation"])

    assert longer.any()
    # -pi/2 and pi/2 are one direction; floats decide between them in scikit-image
    assert np.minimum(turn, np.pi - turn)[longer].max() < 1e-6
    assert (np.abs(ours["orientation_rad"][~longer]) == np.pi / 4).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_positions_and_intensities_equal_regionprops(dtype):
    _, rounded, theirs = both(odd_shapes(), dtype)

    half = 0.5000001e-6  # the table is rounded to 6 decimals
    assert np.abs(rounded["centroid_y_px"] - theirs["centroid-0"]).max() <= half
    assert np.abs(rounded["centroid_x_px"] - theirs["centroid-1"]).max() <= half
    for key, name in (("mean", "intensity_mean"), ("sd", "intensity_std")):
        assert np.abs(rounded[f"nucleus_intensity_gray_{key}"] - theirs[name]).max() <= half, key
    for key in ("min", "max"):
        assert np.array_equal(rounded[f"nucleus_intensity_gray_{key}"], theirs[f"intensity_{key}"])


@pytest.mark.parametrize("field", ["odd", "fine"])
def test_feret_diameters_equal_brute_force_on_edge_midpoints(field):
    labels = FIELDS[field]()
    ours, _, _ = both(labels)
    angles = np.linspace(0, np.pi, 721)
    direction = np.stack([np.cos(angles), np.sin(angles)])
    for region, greatest, least in zip(regionprops(labels), ours["max_feret_um"], ours["min_feret_um"], strict=True):
        offsets = np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]])
        points = np.unique((region.coords[:, None] + offsets).reshape(-1, 2), axis=0)
        if len(points) < 400:
            assert greatest == pytest.approx(pdist(points).max(), rel=1e-12)
        widths = np.ptp(points @ direction, axis=0)
        # the least width lies between sampled angles: they are at most half a step (0.0022 rad) off it
        assert widths.min() - 0.0022 * greatest - 1e-9 <= least <= widths.min() + 1e-9


def test_max_feret_is_regionprops_of_the_hull_image():
    labels = odd_shapes()
    for region in regionprops(labels)[:80]:
        filled = np.pad(region.image_convex, 1).astype(np.uint32)
        cell = scan_cells(filled)
        ours = measure_shapes(filled, cell.ids, cell.boxes, mpp=1.0)["max_feret_um"][0]
        # regionprops takes the edge midpoints of the hull's pixels, not of the cell's
        assert ours == pytest.approx(region.feret_diameter_max, rel=1e-12)


def test_columns_stay_in_their_documented_ranges():
    from cellseg.columns import find_column

    labels = odd_shapes()
    pixels = np.random.default_rng(0).integers(0, 256, (*labels.shape, 3)).astype(np.uint8)
    for name, values in measure_image(labels, pixels, recipe=recipe_for(pixels, mpp=0.25)).items():
        column = find_column(name)
        if column.family in ("detection", "tissue", "quality"):
            continue  # a label image alone says nothing of scores, classes and tissues
        seen = values[~np.isnan(values)] if values.dtype == float else values
        assert not np.isinf(values.astype(float)).any(), name
        assert column.minimum is None or seen.min() >= column.minimum, name
        assert column.maximum is None or seen.max() <= column.maximum + 1e-6, name
        always = column.family in ("shape", "intensity") and not name.endswith("aspect_ratio")
        assert not always or len(seen) == len(values), f"{name} has NaN"

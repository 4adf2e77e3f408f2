"""Outlines and what is measured on them against scikit-image, scipy and plain numpy."""

import numpy as np
import pytest
from patching import disc, ellipse, patches_of, star
from scipy.ndimage import gaussian_filter, label, map_coordinates
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist
from skimage.measure import find_contours

from cellseg.measure.contour import smooth_contours, trace_contours
from cellseg.measure.fourier import measure_fourier
from cellseg.measure.fractal import measure_fractals
from cellseg.measure.outline import measure_outline
from cellseg.measure.symmetry import measure_symmetry


def ragged(seed, side=60):
    """One cell of noise: arms, bays and holes."""
    rng = np.random.default_rng(seed)
    pieces, _ = label(gaussian_filter(rng.standard_normal((side, side)), 2.5) > 0.01, np.ones((3, 3)))
    return np.pad(pieces == 1 + np.bincount(pieces.ravel())[1:].argmax(), 1).astype(int)


SHAPES = {
    "disc": disc(14),
    "ellipse": ellipse(18, 9, 0.6),
    "star": star(17, 0.25, 5),
    "large": star(110, 0.2, 5),
    **{f"ragged {seed}": ragged(seed) for seed in range(8)},
}
shapes = pytest.mark.parametrize("mask", SHAPES.values(), ids=SHAPES)


def traced_of(mask):
    return trace_contours(patches_of(mask))


def smoothed_of(mask):
    return smooth_contours(traced_of(mask), np.ones(1))


@shapes
def test_the_traced_polygon_is_the_longest_of_marching_squares(mask):
    contours = find_contours(np.pad(mask, 1), 0.5, fully_connected="high")
    area = [abs(np.sum(c[:-1, 0] * c[1:, 1] - c[1:, 0] * c[:-1, 1])) / 2 for c in contours]
    theirs = contours[int(np.argmax(area))][:-1]
    traced = traced_of(mask)
    ours = traced.points + np.argwhere(mask).min(axis=0) - 1 + 1

    assert {tuple(p) for p in ours} == {tuple(p) for p in theirs}
    assert len(ours) == len(theirs)
    assert traced.areas_px2[0] == max(area)


@shapes
def test_smoothing_is_the_dense_matrix_of_its_steps(mask):
    """The diffusion written as a matrix and its exponential: steps of Euler differ in the fourth order."""
    traced = traced_of(mask)
    p, n = traced.points, len(traced.points)
    side = np.hypot(*(np.roll(p, -1, axis=0) - p).T)
    width = (side + np.roll(side, 1)) / 2
    rates = np.zeros((n, n))
    for i in range(n):
        rates[i, (i + 1) % n] += 1 / (side[i] * width[i])
        rates[i, i - 1] += 1 / (side[i - 1] * width[i])
        rates[i, i] -= 1 / (side[i] * width[i]) + 1 / (side[i - 1] * width[i])
    steps = 3
    step = np.eye(n) + rates / steps / 2
    mean = (width[:, None] * p).sum(axis=0) / width.sum()
    scale = np.exp((2 * np.pi / side.sum()) ** 2 / 2)
    expected = mean + scale * (np.linalg.matrix_power(step, steps) @ p - mean)

    assert smoothed_of(mask).points == pytest.approx(expected, abs=1e-10)


@shapes
def test_hull_and_concavities(mask):
    p = smoothed_of(mask).points
    hull = ConvexHull(p)
    at = np.sort(hull.vertices)
    depths = []
    for a, b in zip(at, np.roll(at, -1), strict=True):
        between = p[a + 1 : b] if b > a else np.concatenate([p[a + 1 :], p[:b]])
        edge = (p[b] - p[a]) / np.hypot(*(p[b] - p[a]))
        off = abs((between - p[a]) @ [edge[1], -edge[0]])
        # parted where the outline is back at the edge
        depths.extend(part.max(initial=0) for part in np.split(off, np.flatnonzero(off < 0.25)))
    deep = [depth for depth in depths if depth > 1.25]
    got = {name: values[0] for name, values in measure_outline(patches_of(mask), mpp=1.0).items()}
    area = abs(np.sum(p[:, 0] * np.roll(p[:, 1], -1) - p[:, 1] * np.roll(p[:, 0], -1))) / 2

    assert got["hull_perimeter_um"] == pytest.approx(hull.area, rel=1e-9)  # in the plane, qhull's area is the perimeter
    assert got["concavity_area_share"] == pytest.approx(1 - area / hull.volume, abs=1e-9)
    assert got["concavity_count"] == len(deep)
    assert got["concavity_depth_max_um"] == pytest.approx(max(deep, default=0), abs=1e-9)
    assert got["concavity_depth_mean_um"] == pytest.approx(np.mean(deep) if deep else 0, abs=1e-9)


@shapes
def test_roughness_by_polyfit(mask):
    p = smoothed_of(mask).points
    got = {name: values[0] for name, values in measure_outline(patches_of(mask), mpp=1.0).items()}
    n = len(p)
    for name, parts in (("fine", 16), ("medium", 8), ("coarse", 4)):
        half = n // (2 * parts)
        if half < 2:
            assert np.isnan(got["roughness_" + name])
            continue
        step = -(-half // 64)
        window = step * np.arange(-(half // step), half // step + 1)
        off = []
        for i in range(n):
            near = p[(i + window) % n]
            middle = (
                np.polynomial.Polynomial.fit(window, near[:, 0], 2)(0),
                np.polynomial.Polynomial.fit(window, near[:, 1], 2)(0),
            )
            along = p[(i + 1) % n] - p[i - 1]
            off.append(abs(np.dot(p[i] - middle, [along[1], -along[0]])) / np.hypot(*along))
        assert got["roughness_" + name] == pytest.approx(np.mean(off) / got["radius_mean_um"], rel=1e-8)


@shapes
def test_radii_by_many_points_along_the_outline(mask):
    p = smoothed_of(mask).points
    closed = np.append(p, p[:1], axis=0)
    cross = closed[:-1, 1] * closed[1:, 0] - closed[1:, 1] * closed[:-1, 0]
    centre = ((closed[:-1] + closed[1:]) * cross[:, None]).sum(axis=0) / (3 * cross.sum())
    side = np.hypot(*np.diff(closed, axis=0).T)
    r = np.hypot(*(p - centre).T)
    weight = (side + np.roll(side, 1)) / 2 / side.sum()
    got = {name: values[0] for name, values in measure_outline(patches_of(mask), mpp=1.0).items()}

    assert got["radius_mean_um"] == pytest.approx((weight * r).sum(), rel=1e-9)
    assert got["radius_sd_um"] == pytest.approx(np.sqrt((weight * (r - (weight * r).sum()) ** 2).sum()), rel=1e-7)
    assert got["radius_ratio"] == pytest.approx(r.min() / r.max(), rel=1e-9)


@shapes
def test_fractal_dimensions_by_sets_and_distances(mask):
    traced = traced_of(mask)
    p, n = traced.points, len(traced.points)
    low, high = p.min(axis=0), p.max(axis=0)
    sizes = [s for s in (1, 2, 4, 8, 16, 32, 64, 128) if 2 * s <= (high - low).max()]
    counts = []
    for s in sizes:
        lattices = [(high - p if sy else p - low)[:, 0] // s * 1e4 + (high - p if sx else p - low)[:, 1] // s
                    for sy in (0, 1) for sx in (0, 1)]  # fmt: skip
        counts.append(np.mean([len(np.unique(boxes)) for boxes in lattices]))
    distances = cdist(p, p)
    spans = [s for s in (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192) if 8 * s <= n]
    chords = [np.mean([distances[i, (i + s) % n] for i in range(n)]) for s in spans]
    got = measure_fractals(traced)

    assert got["fractal_dimension_box"][0] == pytest.approx(-np.polyfit(np.log(sizes), np.log(counts), 1)[0], rel=1e-9)
    slope = np.polyfit(np.log(chords), np.log(np.array(chords) * n / spans), 1)[0]
    assert got["fractal_dimension_perimeter"][0] == pytest.approx(1 - slope, rel=1e-9)


@shapes
def test_symmetry_by_interpolated_images(mask):
    mask = np.pad(mask, 40).astype(float)
    yx = np.argwhere(mask)
    centre = yx.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov((yx - centre).T))
    axis = vectors[:, 1]
    mirrored = 2 * np.outer((yx - centre) @ axis, axis) - (yx - centre) + centre
    got = measure_symmetry(patches_of(mask.astype(int)))

    if values[1] - values[0] > 1e-9:
        expected = map_coordinates(mask, mirrored.T, order=1).sum() / len(yx)
        assert got["symmetry_mirror"][0] == pytest.approx(expected, abs=1e-9)
    turned = map_coordinates(mask, (2 * centre - yx).T, order=1).sum() / len(yx)
    assert got["symmetry_rotation_180"][0] == pytest.approx(turned, abs=1e-9)


def kuhl_giardina(p, n_harmonics):
    """The sums of the paper, over the sides of a polygon of y, x; rows a, b, c, d."""
    step = np.roll(p, -1, axis=0) - p
    dt = np.hypot(*step.T)
    t = np.append(0, np.cumsum(dt))
    out = []
    for n in range(1, n_harmonics + 1):
        phi = 2 * np.pi * n * t / t[-1]
        c, s = np.diff(np.cos(phi)), np.diff(np.sin(phi))
        scale = t[-1] / (2 * n**2 * np.pi**2)
        out.append([scale * np.sum(d / dt * w) for d in (step[:, 1], step[:, 0]) for w in (c, s)])
    return np.array(out), t[-1]


@shapes
def test_elliptic_descriptors_by_the_sums_of_the_paper(mask):
    p = smoothed_of(mask).points
    raw, _ = kuhl_giardina(p, 10)
    got = {name: values[0] for name, values in measure_fourier(patches_of(mask), mpp=1.0).items()}
    size = np.sqrt((raw**2).sum(axis=1))

    for n in range(2, 11):
        assert got[f"efd_amplitude_{n}"] == pytest.approx(size[n - 1] / size[0], rel=1e-9, abs=1e-12)
    if np.isnan(got["efd_a_2"]):
        return
    # normalised by the paper's matrices, from either end of the long axis
    a, b, c, d = raw[0]
    phase = 0.5 * np.arctan2(2 * (a * b + c * d), a * a + c * c - b * b - d * d)
    found = []
    for start in (phase, phase + np.pi):
        turn = lambda w: np.array([[np.cos(w), -np.sin(w)], [np.sin(w), np.cos(w)]])  # noqa: E731
        shifted = [row.reshape(2, 2) @ turn((n + 1) * start) for n, row in enumerate(raw)]
        x, y = shifted[0][:, 0]
        found.append(np.array([turn(-np.arctan2(y, x)) @ m / np.hypot(x, y) for m in shifted]).reshape(10, 4))
    ours = np.array([[got.get(f"efd_{k}_{n}", {"a": 1.0}.get(k, 0.0)) for k in "abcd"] for n in range(1, 11)])
    even = found[0][1::2].ravel()
    right = found[0] if even[abs(even).argmax()] > 0 else found[1]
    assert ours == pytest.approx(right, abs=1e-9)


@shapes
def test_residuals_by_reconstruction(mask):
    p = smoothed_of(mask).points
    raw, length = kuhl_giardina(p, 8)
    closed = np.append(p, p[:1], axis=0)
    way = np.append(0, np.cumsum(np.hypot(*np.diff(closed, axis=0).T)))
    t = (np.arange(40000) + 0.5) / 40000 * length
    y, x = np.interp(t, way, closed[:, 0]), np.interp(t, way, closed[:, 1])
    spread = y.var() + x.var()
    got = measure_fourier(patches_of(mask), mpp=1.0)
    y, x = y - y.mean(), x - x.mean()
    for n in range(1, 9):
        a, b, c, d = raw[n - 1]
        phi = 2 * np.pi * n * t / length
        x, y = x - a * np.cos(phi) - b * np.sin(phi), y - c * np.cos(phi) - d * np.sin(phi)
        if n in (1, 2, 4, 8):
            # 40,000 points instead of an integral
            expected = np.sqrt((x**2 + y**2).mean() / spread)
            assert got[f"efd_residual_{n}"][0] == pytest.approx(expected, rel=1e-4)


@shapes
def test_shape_descriptors_by_the_fft_of_many_samples(mask):
    p = smoothed_of(mask).points
    closed = np.append(p, p[:1], axis=0)
    step = np.diff(closed, axis=0)
    way = np.append(0, np.cumsum(np.hypot(*step.T)))
    angle = np.unwrap(np.arctan2(step[:, 0], step[:, 1]))
    n = 2**17
    t = (np.arange(n) + 0.5) / n
    at = np.searchsorted(way / way[-1], t) - 1
    wave = np.fft.rfft(angle[at] - 2 * np.pi * t)
    energy = abs(wave[1:]) ** 2
    got = measure_fourier(patches_of(mask), mpp=1.0)

    for band in range(6):
        last = 2 ** (band + 1) - 1 if band < 5 else n
        expected = energy[2**band - 1 : last].sum() / energy.sum()
        # jumps fall between samples
        assert got[f"fsd_{band + 1}"][0] == pytest.approx(expected, rel=0.01, abs=1e-4)

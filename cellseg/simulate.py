"""H&E-like tissue drawn from a seed, with the truth about every nucleus. Floor 3: arrays only, no files.

Nuclei are ellipses with Fourier-perturbed outlines and chromatin texture, in an eosin background of fibres, cytoplasm
and clefts; stains mix by Beer and Lambert with the vectors of Ruifrok & Johnston 2001; blur and camera noise come last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cellseg.types import Labels

Plane = NDArray[np.float64]

HEMATOXYLIN_OD = (0.650, 0.704, 0.286)
EOSIN_OD = (0.072, 0.990, 0.105)
GLASS_RGB = (244.0, 242.0, 245.0)
_MODES = np.arange(2, 8)
_BORDER_UM = 12.0


@dataclass(frozen=True)
class Population:
    """What the nuclei of one kind are like; spreads are standard deviations."""

    area_um2: float
    """um2; median."""
    area_spread: float
    """of the natural logarithm of area."""
    aspect: float
    """long over short axis; 1 plus a half-normal of mean `aspect - 1`."""
    roughness: float
    """fraction of the radius; spread of the outline's Fourier terms."""
    hematoxylin_od: float
    """OD along the hematoxylin vector; mean."""
    od_spread: float
    """OD; between nuclei."""
    chromatin: float
    """fraction of OD; texture inside the nucleus."""
    nucleoli: float
    """mean number of nucleoli that show."""


HEALTHY = Population(42.0, 0.20, 1.25, 0.040, 0.58, 0.11, 0.16, 0.3)
ABNORMAL = Population(70.0, 0.33, 1.42, 0.105, 0.72, 0.16, 0.26, 1.2)


@dataclass(frozen=True)
class Tissue:
    """What a piece of simulated tissue is like."""

    mpp: float = 0.5
    """um per pixel."""
    nuclei_per_mm2: float = 3400.0
    """number per mm2 aimed at; crowding may leave it short."""
    abnormal_share: float = 0.0
    """fraction of nuclei that are abnormal; they lie in clusters."""
    spacing: float = 1.3
    """times the sum of two healthy nuclei's radii; their least distance."""
    touching_share: float = 0.06
    """fraction of healthy nuclei set against a neighbour."""
    pale_share: float = 0.07
    """fraction of all nuclei that took half the stain."""
    cleft_level: float = 2.1
    """standard deviations of the tissue's density field above which there is empty glass."""
    healthy: Population = HEALTHY
    abnormal: Population = ABNORMAL


class Nucleus(NamedTuple):
    """One nucleus to be drawn; lengths in px, angles in rad."""

    y: float
    x: float
    radius: float
    aspect: float
    angle: float
    amplitudes: NDArray[np.float64]
    phases: NDArray[np.float64]
    od: float
    chromatin: float
    nucleoli: NDArray[np.float64]
    abnormal: bool


class Simulated(NamedTuple):
    """Tissue and its truth.

    `pixels` (H, W, 3) uint8; `labels` (H, W) uint32, ids 1..N in raster order of the first pixel, each one 8-connected
    piece; `abnormal` (N,) bool and `centers_px` (N, 2), y and x as placed, both in the order of ids.
    """

    pixels: NDArray[np.uint8]
    labels: Labels
    abnormal: NDArray[np.bool_]
    centers_px: NDArray[np.float64]


def simulate_tissue(
    height_px: int, width_px: int, *, tissue: Tissue, seed: int, border_seed: int | None = None
) -> Simulated:
    """H&E-like tissue of `height_px` x `width_px`; the same arguments give the same bytes.

    With `border_seed` the field continues into itself and into every field of the same size and border seed: fields of
    different `seed` can be laid side by side without a seam, with nuclei across the joints (whose labels then lie at
    opposite edges).
    """
    rng = np.random.default_rng((seed, 1))
    border = None if border_seed is None else np.random.default_rng((border_seed, 2))
    noise = _Noise((height_px, width_px), tissue.mpp, rng, border)
    density = noise.smooth(22.0)
    cleft = density + 0.13 * noise.smooth(2.5) > tissue.cleft_level
    crowd = _Crowd((height_px, width_px), tissue, cleft, wraps=border is not None)
    if border is not None:
        crowd.fill(border, band_px=_BORDER_UM / tissue.mpp)
        crowd.freeze_border(_BORDER_UM / tissue.mpp)
    crowd.fill(rng)
    canvas = _Canvas((height_px, width_px), tissue.mpp, noise, wraps=border is not None)
    for number, nucleus in enumerate(crowd.nuclei, start=1):
        canvas.paint(nucleus, number)
    near = np.exp(-_distance_px(canvas.labels == 0, wraps=canvas.wraps) * tissue.mpp / 4.0)
    pixels = _expose(canvas, _eosin(noise, density, near, cleft), tissue.mpp, rng)
    if border is None:
        _keep_largest_pieces(canvas.labels)
    return _truth(pixels, canvas.labels, crowd.nuclei)


class _Noise:
    """Sources of toroidal noise of unit variance; near the border all fields of one border seed share it."""

    def __init__(
        self, shape: tuple[int, int], mpp: float, rng: np.random.Generator, border: np.random.Generator | None
    ) -> None:
        self.shape, self.mpp, self.rng, self.border = shape, mpp, rng, border
        edge_y = np.minimum(np.arange(shape[0]), np.arange(shape[0])[::-1])
        edge_x = np.minimum(np.arange(shape[1]), np.arange(shape[1])[::-1])
        self.shared = np.minimum(edge_y[:, None], edge_x[None, :]) < 100.0 / mpp

    def smooth(self, scale_um: float) -> Plane:
        """White noise under a Gaussian of this standard deviation."""
        white = self.rng.standard_normal(self.shape)
        if self.border is not None:
            white = np.where(self.shared, self.border.standard_normal(self.shape), white)
        sigma = scale_um / self.mpp
        # variance of white noise under a two-dimensional Gaussian of standard deviation sigma: 1 / (4 pi sigma^2)
        smoothed: Plane = ndimage.gaussian_filter(white, sigma, mode="wrap")
        unit: Plane = smoothed * (2.0 * np.sqrt(np.pi) * sigma)
        return unit


class _Crowd:
    """Places nuclei so that they keep their distance, save those that are meant to touch."""

    def __init__(self, shape: tuple[int, int], tissue: Tissue, cleft: NDArray[np.bool_], *, wraps: bool) -> None:
        self.shape, self.tissue, self.cleft, self.wraps = shape, tissue, cleft, wraps
        self.nuclei: list[Nucleus] = []
        self.frozen_px = 0.0
        self._placed = np.empty((0, 3))

    def fill(self, rng: np.random.Generator, *, band_px: float | None = None) -> None:
        """Place abnormal nuclei in clusters, then healthy ones, in the whole field or a band at its border."""
        area_mm2 = self.shape[0] * self.shape[1] * self.tissue.mpp**2 * 1e-6
        target = round(self.tissue.nuclei_per_mm2 * area_mm2)
        if band_px is not None:
            inner = max(self.shape[0] - 2 * band_px, 0) * max(self.shape[1] - 2 * band_px, 0)
            target = round(target * (1 - inner / (self.shape[0] * self.shape[1])))
        n_abnormal = round(target * self.tissue.abnormal_share)
        for _ in range(8 * n_abnormal):
            if sum(nucleus.abnormal for nucleus in self.nuclei) >= n_abnormal:
                break
            self._place_cluster(rng, n_abnormal, band_px)
        for _ in range(12 * target):
            if len(self.nuclei) >= target:
                break
            self._place_healthy(rng, band_px)

    def freeze_border(self, band_px: float) -> None:
        """From now on place nothing whose middle is within `band_px` of the border."""
        self.frozen_px = band_px

    def _place_cluster(self, rng: np.random.Generator, n_abnormal: int, band_px: float | None) -> None:
        middle = self._anywhere(rng, band_px)
        size = int(rng.integers(4, 15))
        spread_px = 4.0 * np.sqrt(size) / self.tissue.mpp
        for _ in range(size):
            if sum(nucleus.abnormal for nucleus in self.nuclei) < n_abnormal:
                y, x = middle + rng.normal(0.0, spread_px, 2)
                self._try(_draw(rng, self.tissue, y, x, abnormal=True), gap=0.94, band_px=band_px)

    def _place_healthy(self, rng: np.random.Generator, band_px: float | None) -> None:
        y, x = self._anywhere(rng, band_px)
        nucleus = _draw(rng, self.tissue, y, x, abnormal=False)
        if len(self._placed) and rng.random() < self.tissue.touching_share:
            other = self._placed[rng.integers(len(self._placed))]
            turn, reach = rng.uniform(0, 2 * np.pi), 0.97 * (other[2] + nucleus.radius)
            nucleus = nucleus._replace(y=other[0] + reach * np.sin(turn), x=other[1] + reach * np.cos(turn))
            self._try(nucleus, gap=0.95, band_px=band_px)
        else:
            self._try(nucleus, gap=self.tissue.spacing, band_px=band_px)

    def _anywhere(self, rng: np.random.Generator, band_px: float | None) -> NDArray[np.float64]:
        over = 0.0 if self.wraps else 4.0 / self.tissue.mpp
        point = np.array([rng.uniform(-over, side + over) for side in self.shape])
        if band_px is not None:
            axis = int(rng.integers(2))
            point[axis] = rng.uniform(-band_px, band_px)
        return point

    def _try(self, nucleus: Nucleus, *, gap: float, band_px: float | None) -> None:
        y, x = nucleus.y, nucleus.x
        if self.wraps:
            y, x = y % self.shape[0], x % self.shape[1]
        edge = min(y, x, self.shape[0] - y, self.shape[1] - x)
        inside_y, inside_x = min(max(int(y), 0), self.shape[0] - 1), min(max(int(x), 0), self.shape[1] - 1)
        wrong_place = edge < self.frozen_px or (band_px is not None and edge >= band_px)
        if wrong_place or self.cleft[inside_y, inside_x]:
            return
        apart = np.abs(self._placed[:, :2] - (y, x))
        if self.wraps:
            apart = np.minimum(apart, np.array(self.shape) - apart)
        reach = nucleus.radius * nucleus.aspect**0.25
        if np.all(np.hypot(apart[:, 0], apart[:, 1]) >= gap * (self._placed[:, 2] + reach)):
            self.nuclei.append(nucleus._replace(y=y, x=x))
            self._placed = np.vstack([self._placed, (y, x, reach)])


def _draw(rng: np.random.Generator, tissue: Tissue, y: float, x: float, *, abnormal: bool) -> Nucleus:
    """A nucleus of its kind with its own size, outline and stain."""
    kind = tissue.abnormal if abnormal else tissue.healthy
    area_px = kind.area_um2 * np.exp(kind.area_spread * rng.standard_normal()) / tissue.mpp**2
    od = max(rng.normal(kind.hematoxylin_od, kind.od_spread), 0.25)
    return Nucleus(
        y, x, float(np.sqrt(area_px / np.pi)),
        aspect=1.0 + abs(rng.standard_normal()) * (kind.aspect - 1.0) * 1.2533,
        angle=rng.uniform(0, np.pi),
        amplitudes=rng.normal(0, kind.roughness, _MODES.size) * (2.0 / _MODES) ** 1.1,
        phases=rng.uniform(0, 2 * np.pi, _MODES.size),
        od=float(od * (0.55 if rng.random() < tissue.pale_share else 1.0)),
        chromatin=kind.chromatin * rng.uniform(0.6, 1.4),
        nucleoli=rng.uniform(-0.5, 0.5, (min(rng.poisson(kind.nucleoli), 3), 2)),
        abnormal=abnormal,
    )  # fmt: skip


class _Canvas:
    """The planes that nuclei are painted on: hematoxylin OD and label ids."""

    def __init__(self, shape: tuple[int, int], mpp: float, noise: _Noise, *, wraps: bool) -> None:
        self.shape, self.mpp, self.wraps = shape, mpp, wraps
        self.labels = np.zeros(shape, np.uint32)
        self.hematoxylin = np.zeros(shape)
        self.texture = 0.7 * noise.smooth(0.45) + 0.7 * noise.smooth(1.0)

    def paint(self, nucleus: Nucleus, number: int) -> None:
        """Draw one nucleus where no other lies yet."""
        reach = int(np.ceil(nucleus.radius * np.sqrt(nucleus.aspect) * 1.6)) + 2
        rows = np.arange(int(nucleus.y) - reach, int(nucleus.y) + reach + 1)
        columns = np.arange(int(nucleus.x) - reach, int(nucleus.x) + reach + 1)
        rho, u, v = _relative_radius(nucleus, rows[:, None] - nucleus.y, columns[None, :] - nucleus.x)
        at = np.ix_(rows % self.shape[0], columns % self.shape[1])
        inside = (rho <= 1.0) & (self.labels[at] == 0)
        if not self.wraps:
            inside &= ((rows >= 0) & (rows < self.shape[0]))[:, None]
            inside &= ((columns >= 0) & (columns < self.shape[1]))[None, :]
        body = 0.90 + 0.16 * rho**4 + nucleus.chromatin * self.texture[at]
        for spot in nucleus.nucleoli:
            body += 0.55 * np.exp(-((u - spot[0]) ** 2 + (v - spot[1]) ** 2) * (nucleus.radius * self.mpp / 0.9) ** 2)
        self.labels[at] = np.where(inside, number, self.labels[at])
        self.hematoxylin[at] = np.where(inside, nucleus.od * np.maximum(body, 0.2), self.hematoxylin[at])


def _relative_radius(nucleus: Nucleus, dy: NDArray[Any], dx: NDArray[Any]) -> tuple[Plane, Plane, Plane]:
    """Distance from the middle over that of the outline that way, and coordinates in units of the radius."""
    cos, sin = np.cos(nucleus.angle), np.sin(nucleus.angle)
    stretch = np.sqrt(nucleus.aspect) * nucleus.radius
    squeeze = nucleus.radius / np.sqrt(nucleus.aspect)
    u, v = (dy * cos + dx * sin) / stretch, (dx * cos - dy * sin) / squeeze
    turn = np.arctan2(v, u)[..., None]
    outline = 1.0 + (nucleus.amplitudes * np.cos(_MODES * turn + nucleus.phases)).sum(axis=-1)
    # the mean of outline^2 over the circle, so that the area is the one that was drawn
    scale = np.sqrt(1.0 + 0.5 * float((nucleus.amplitudes**2).sum()))
    return np.hypot(u, v) * scale / np.maximum(outline, 0.4), u, v


def _distance_px(outside: NDArray[np.bool_], *, wraps: bool) -> Plane:
    """Distance to the nearest pixel that is not outside; around the edge where the field wraps."""
    pad = min(48, *outside.shape) if wraps else 0
    distance: Plane = ndimage.distance_transform_edt(np.pad(outside, pad, mode="wrap") if pad else outside)
    return distance[pad : pad + outside.shape[0], pad : pad + outside.shape[1]]


def _eosin(noise: _Noise, density: Plane, near: Plane, cleft: NDArray[np.bool_]) -> Plane:
    """Eosin OD: wavy fibres where tissue is loose, granular cytoplasm `near` nuclei (1 in them), nothing in clefts."""
    phase = 7.0 * noise.smooth(22.0) + 1.3 * noise.smooth(3.5)
    loose = np.clip(0.5 + 0.6 * noise.smooth(18.0), 0.0, 1.0)
    fibres = loose * (np.abs(np.sin(phase)) - 0.6) * (1.0 + 0.5 * noise.smooth(2.0))
    grain = 0.6 * noise.smooth(1.2) + 0.4 * noise.smooth(0.5)
    body = 0.22 + 0.03 * density - 0.07 * loose + 0.13 * fibres * (1.0 - 0.7 * near) + 0.035 * grain + 0.04 * near
    # a thin clear cleft round about one nucleus in three, as shrinkage leaves it
    halo = np.exp(-(((near - 0.80) / 0.12) ** 2)) * np.clip(noise.smooth(14.0) - 0.4, 0.0, 1.0)
    edge: Plane = ndimage.gaussian_filter((~cleft).astype(float), 0.8 / noise.mpp, mode="wrap")
    body = np.clip(body - 0.14 * halo, 0.02, None) * edge
    return np.where(near >= 1.0, 0.35 * body, body)


def _expose(canvas: _Canvas, eosin: Plane, mpp: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Light through both stains (Beer and Lambert), blurred by the lens, with shot and read noise of the camera."""
    ambient = 0.06 * eosin
    edge: Literal["wrap", "nearest"] = "wrap" if canvas.wraps else "nearest"
    pixels = np.empty((*canvas.shape, 3), np.uint8)
    hematoxylin: Plane = ndimage.gaussian_filter(canvas.hematoxylin, 0.25 / mpp, mode=edge)
    for channel in range(3):
        od = (hematoxylin + ambient) * HEMATOXYLIN_OD[channel] + eosin * EOSIN_OD[channel]
        light: Plane = ndimage.gaussian_filter(GLASS_RGB[channel] * 10.0**-od, 0.36 / mpp, mode=edge)
        light = light + rng.standard_normal(canvas.shape) * np.sqrt(1.0 + 0.05 * light)
        pixels[..., channel] = np.clip(np.rint(light), 0, 255)
    return pixels


def _keep_largest_pieces(labels: Labels) -> None:
    """Give up, in place, what another nucleus cut off, so that each id is one 8-connected piece."""
    for number, box in enumerate(ndimage.find_objects(labels.astype(np.int32)), start=1):
        if box is not None:
            mine = labels[box] == number
            pieces, n_pieces = ndimage.label(mine, np.ones((3, 3)))
            if n_pieces > 1:
                labels[box][mine & (pieces != np.bincount(pieces[mine]).argmax())] = 0


def _truth(pixels: NDArray[np.uint8], labels: Labels, nuclei: list[Nucleus]) -> Simulated:
    """The nuclei that can be seen, numbered in raster order of the first pixel."""
    ids, first = np.unique(labels, return_index=True)
    order = ids[ids > 0][np.argsort(first[ids > 0])]
    table = np.zeros(len(nuclei) + 1, np.uint32)
    table[order] = np.arange(1, order.size + 1)
    shown = [nuclei[number - 1] for number in order]
    return Simulated(
        pixels,
        table[labels],
        np.array([nucleus.abnormal for nucleus in shown], bool),
        np.array([(nucleus.y, nucleus.x) for nucleus in shown]).reshape(-1, 2),
    )

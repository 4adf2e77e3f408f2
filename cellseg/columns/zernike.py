"""Zernike moments of the mask, and of a plane over it. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import PLANE_UNIT, Column

_ZERNIKE = "Zernike 1934, Physica 1:689; Teague 1980, J Opt Soc Am 70:920"
_DISC = "on the smallest circle around the pixels' centres, all of which count"
_TERMS = tuple((n, m) for n in range(10) for m in range(n % 2, n + 1, 2))

MASK: tuple[Column, ...] = tuple(
    Column(f"zernike_{n}_{m}", "float64", "1", f"magnitude of the mask's Zernike moment of order {n} and repetition {m}, {_DISC}; NaN for a single pixel", f"|sum of R_{n},{m}(r) exp(i {m} phi)| / (pi radius^2)", _ZERNIKE, 0, None, "zernike", "compartment")
    for n, m in _TERMS
)  # fmt: skip
PLANE: tuple[Column, ...] = (
    *(
        Column(f"zernike_magnitude_{n}_{m}", "float64", PLANE_UNIT, f"magnitude of the plane's Zernike moment of order {n} and repetition {m}, {_DISC}; NaN for a single pixel", f"|sum of v R_{n},{m}(r) exp(i {m} phi)| / n", _ZERNIKE, 0, None, "radial_zernike", "plane")
        for n, m in _TERMS
    ),
    *(
        Column(f"zernike_phase_{n}_{m}_rad", "float64", "rad", f"its direction: phase of the moment of order {n} and repetition {m}, y downwards; NaN for a single pixel and where the magnitude is less than 1e-9 of the mean count in the plane's unit and its offset", f"arg(sum of v R_{n},{m}(r) exp(i {m} phi))", _ZERNIKE, -3.1415926536, 3.1415926536, "radial_zernike", "plane")
        for n, m in _TERMS if m
    ),
)  # fmt: skip

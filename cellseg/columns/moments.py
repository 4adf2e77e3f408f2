"""Moments of the mask. Floor 1."""

from __future__ import annotations

from dataclasses import replace

from cellseg.columns.column import Column

_HU = "Hu 1962, IRE Trans Inf Theory 8:179"
_INVARIANTS = (
    "n20 + n02",
    "(n20 - n02)^2 + 4 n11^2",
    "(n30 - 3 n12)^2 + (3 n21 - n03)^2",
    "(n30 + n12)^2 + (n21 + n03)^2",
    "(n30 - 3 n12)(n30 + n12)((n30 + n12)^2 - 3 (n21 + n03)^2) + (3 n21 - n03)(n21 + n03)(3 (n30 + n12)^2 - (n21 + n03)^2)",
    "(n20 - n02)((n30 + n12)^2 - (n21 + n03)^2) + 4 n11 (n30 + n12)(n21 + n03)",
    "(3 n21 - n03)(n30 + n12)((n30 + n12)^2 - 3 (n21 + n03)^2) - (n30 - 3 n12)(n21 + n03)(3 (n30 + n12)^2 - (n21 + n03)^2)",
)


def _c(name: str, unit: str, meaning: str, formula: str, minimum: float | None = None) -> Column:
    return Column(name, "float64", unit, meaning, formula, _HU, minimum, None, "moments", "compartment")


_ROWS: tuple[Column, ...] = (
    *(
        _c(f"spatial_moment_{p}_{q}_um{p + q + 2}", f"um{p + q + 2}", f"moment in the bounding box, order {p} in y and {q} in x, from the centre of its first pixel", f"sum of y^{p} x^{q} over the pixels * mpp^{p + q + 2}", 0)
        for p in range(3) for q in range(4)
    ),
    *(
        _c(f"central_moment_{p}_{q}_um{p + q + 2}", f"um{p + q + 2}", f"moment about the centroid, order {p} in y and {q} in x", f"sum of (y - mean y)^{p} (x - mean x)^{q} over the pixels * mpp^{p + q + 2}")
        for p in range(3) for q in range(4)
    ),
    *(
        _c(f"normalized_moment_{p}_{q}", "1", f"central moment that does not depend on size, order {p} in y and {q} in x", f"central moment / area^{(p + q) / 2 + 1:g}")
        for p in range(4) for q in range(4) if p + q >= 2
    ),
    *(_c(f"hu_{k}", "1", f"Hu's invariant {k}, which turning and size do not change (nor mirroring, but for the sign of 7)", f"{formula}, n the normalised moments") for k, formula in enumerate(_INVARIANTS, start=1)),
    _c("inertia_tensor_yy_um2", "um2", "inertia about the y axis over area", "mean of (x - mean x)^2 * mpp^2", 0),
    _c("inertia_tensor_xx_um2", "um2", "inertia about the x axis over area", "mean of (y - mean y)^2 * mpp^2", 0),
    _c("inertia_tensor_yx_um2", "um2", "mixed term of the inertia tensor", "- mean of (y - mean y)(x - mean x) * mpp^2"),
    _c("inertia_eigenvalue_1_um2", "um2", "greater eigenvalue of the inertia tensor", "of ((yy, yx), (yx, xx))", 0),
    _c("inertia_eigenvalue_2_um2", "um2", "lesser eigenvalue of the inertia tensor", "of ((yy, yx), (yx, xx))", 0),
)  # fmt: skip
COLUMNS: tuple[Column, ...] = tuple(replace(column, significant=True) for column in _ROWS)

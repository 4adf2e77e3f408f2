"""Fourier descriptors of the outline: elliptic ones and energies of the tangent's angle. Floor 1."""

from __future__ import annotations

from cellseg.columns.column import Column

_KUHL = "Kuhl & Giardina 1982, Comput Graph Image Process 18:236"
_ZAHN = "Zahn & Roskies 1972, IEEE Trans Comput C-21:269; Zhang & Lu 2001, Proc ICIMADE"
_NAN = "NaN where the outline has fewer than 12 corners or is narrower than 1.5 px in the mean (2 area / length)"
_ROUND = "; NaN, too, where the first harmonic is a circle"
_OUTLINE = "of the outer outline of the largest piece, smoothed by a Gaussian of 1 px along its length"
_WAVES = ("1 wave", "2 to 3 waves", "4 to 7 waves", "8 to 15 waves", "16 to 31 waves", "32 waves and more")
_TERMS = {"a": "cosine in x", "b": "sine in x", "c": "cosine in y", "d": "sine in y"}


def _c(name: str, meaning: str, formula: str, source: str, minimum: float | None, maximum: float | None) -> Column:
    return Column(name, "float64", "1", meaning, formula, source, minimum, maximum, family="fourier", per="compartment")


_NORMAL = (
    f"exact integral {_OUTLINE}; x along the long axis of the first harmonic, from its end, in units of its long half axis; "
    "of both ends the one that makes the greatest coefficient of harmonics 2, 4, ... positive"
)
COLUMNS: tuple[Column, ...] = (
    *(
        _c(
            f"efd_{letter}_{n}",
            f"elliptic Fourier descriptor: {_TERMS[letter]} of harmonic {n}"
            + (" (short over long axis of the first ellipse)" if n == 1 else "")
            + f"; {_NAN}" + (_ROUND if n > 1 else ""),
            _NORMAL, _KUHL, None, None,
        )
        for n in range(1, 11) for letter in "abcd" if n > 1 or letter == "d"
    ),
    *(
        _c(
            f"efd_amplitude_{n}", f"size of harmonic {n} relative to the first; {_NAN}",
            f"sqrt((a_n^2 + b_n^2 + c_n^2 + d_n^2) / (a_1^2 + b_1^2 + c_1^2 + d_1^2)) {_OUTLINE}", _KUHL, 0, None,
        )
        for n in range(2, 11)
    ),
    *(
        _c(
            f"efd_residual_{n}", f"irregularity: what {n} elliptic harmonic(s) leave of the outline; {_NAN}",
            "root of the mean squared distance between outline and its reconstruction / that between outline and its mean", _KUHL, 0, 1,
        )
        for n in (1, 2, 4, 8)
    ),
    *(
        _c(
            f"fsd_{n}", f"Fourier shape descriptor: share of the energy in {_WAVES[n - 1]} along the outline; {_NAN}",
            f"|F_k|^2 summed over k / over all k >= 1, F the Fourier series of the angle of the tangent less that of a circle, {_OUTLINE}", _ZAHN, 0, 1,
        )
        for n in range(1, 7)
    ),
)  # fmt: skip

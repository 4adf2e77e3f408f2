"""Tissues in colour: tinted, outlined, told apart."""

import numpy as np

from cellseg.report.palette import tissue_colours
from cellseg.report.tissue import tint_tissues

COLOURS = tissue_colours(3)


def test_each_tissue_gets_its_colour_and_what_is_none_stays() -> None:
    picture = np.full((20, 40, 3), 200, np.uint8)
    classes = np.repeat(np.array([0, 1, 2, 255], np.uint8), 10)[None].repeat(20, 0)
    out = tint_tissues(picture, classes, COLOURS, line_px=1)
    assert (out[:, 35] == 200).all()
    assert abs(int(out[5, 5].mean()) - 200) < 8
    for number in (1, 2):
        inside = out[5, 10 * number + 5].astype(int) - 200
        assert (np.sign(inside) == np.sign(np.array(COLOURS[number]) - 200)).all() and np.abs(inside).max() > 20
        # its rim in the full colour, on its own side
        assert (out[5, 10 * number] == COLOURS[number]).all()
    assert not (out[5, 9] == COLOURS[1]).all()


def test_colours_differ_for_any_number_of_tissues() -> None:
    for n in (1, 7, 12, 40):
        colours = tissue_colours(n)
        assert len(set(colours)) == n
    twelve = np.array(tissue_colours(12), float)
    distances = np.linalg.norm(twelve[:, None] - twelve[None], axis=2)
    assert distances[~np.eye(12, dtype=bool)].min() > 45

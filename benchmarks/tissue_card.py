"""Fill docs/models/colon.md: what the weights say of themselves, figures by level, confusion, pictures of failures.

    python benchmarks/tissue_accuracy.py --data DIR --keep build/tissue --json build/tissue.json
    python benchmarks/tissue_card.py --figures build/tissue.json --cases build/tissue/cases.json

What stands between `<!-- NAME -->` and `<!-- end NAME -->` in the page is replaced: `weights`, `figures`, `confusion`,
`failures`. Shown are the fields with the least Dice of gland, one a case, and those where most of the gland has a class
of another group, cut to the place with most errors: truth outlined in green, what the network found in magenta.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from model_card import CROP_PX, GREEN, JPEG_QUALITY, MAGENTA, fill, plain
from numpy.typing import NDArray

from cellseg.io.class_map import open_class_map
from cellseg.io.weights import find_weights, read_weights
from cellseg.segment.tissue_architecture import TissueArchitecture
from cellseg.types import Window

CARD = Path(__file__).parents[1] / "docs" / "models" / "colon.md"
FIGURES = ("dice", "iou", "boundary_f1", "pixel_accuracy")
ZOOM = 2
Map = NDArray[np.uint8]


def main() -> None:
    """Write the page and the pictures beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="colon")
    parser.add_argument("--figures", type=Path, required=True, help="--json of benchmarks/tissue_accuracy.py")
    parser.add_argument("--cases", type=Path, help="cases.json of benchmarks/tissue_accuracy.py --keep")
    parser.add_argument("--worst", type=int, default=3, help="pictures of each sort")
    parser.add_argument("--card", type=Path, default=CARD)
    given = parser.parse_args()
    path = find_weights(given.weights)
    architecture = TissueArchitecture.model_validate(read_weights(path).metadata["architecture"])
    rows = json.loads(given.figures.read_text(encoding="utf-8"))
    text = given.card.read_text(encoding="utf-8")
    text = fill(text, "weights", weights_text(path, architecture))
    text = fill(text, "figures", figures_text([row for row in rows if "dice" in row]))
    confusion = [row["confusion"] for row in rows if "confusion" in row and row["method"] == "segnet"]
    text = fill(text, "confusion", confusion_text(confusion, architecture.classes))
    if given.cases:
        cases = json.loads(given.cases.read_text(encoding="utf-8"))
        text = fill(text, "failures", failures_text(cases, architecture, given.card.parent, given.worst))
    given.card.write_text(text, encoding="utf-8")
    print(f"{given.card}: filled")


def weights_text(path: Path, architecture: TissueArchitecture) -> str:
    """What the file says of itself, as a table."""
    weights = read_weights(path)
    told = weights.metadata
    n_weights = sum(tensor.numel() for tensor in weights.tensors.values())
    levels = "; ".join(", ".join(level) for level in architecture.levels)
    rows = [
        ("file", f"`{path.name}`, {path.stat().st_size / 1e6:.1f} MB, safetensors, {n_weights / 1e6:.1f} M weights"),
        ("sha256 (of weights and metadata)", f"`{weights.sha256}`"),
        ("network", f"SegNet, 13 + 13 convolutions and a classifier, {architecture.width:g} of the published width"),
        ("classes", ", ".join(architecture.classes)),
        ("levels of groups", levels),
        ("scale", f"{architecture.mpp:g} um a pixel"),
        ("averages", f"classes within gland: standard deviation of {architecture.smooth_px:g} px"),
        ("balance", plain(architecture.balance)),
    ]
    names = ("licence", "data", "split", "start", "seed", "command", "history", "best_step", "version")
    rows += [(name.replace("_", " "), plain(told[name])) for name in names if told.get(name) is not None]
    return "| | |\n|---|---|\n" + "\n".join(f"| {name} | {value} |" for name, value in rows)


def figures_text(rows: list[dict[str, Any]]) -> str:
    """Every class of every level, network and rule."""
    head = f"| level | class | method | {' | '.join(name.replace('_', ' ') for name in FIGURES)} | Dice by case |"
    lines = [head, f"|---|---|---|{'---|' * (len(FIGURES) + 1)}"]
    order = {row["level"]: number for number, row in enumerate(rows)}
    keys = list(dict.fromkeys((row["level"], row["class"]) for row in sorted(rows, key=lambda r: order[r["level"]])))
    for level, name in keys:
        for row in (row for row in rows if (row["level"], row["class"]) == (level, name)):
            values = " | ".join(figure(row, key) for key in FIGURES)
            lines.append(f"| {level} | {name} | {row['method']} | {values} | {figure(row, 'dice_by_case')} |")
    return "\n".join(lines)


def figure(row: dict[str, Any], name: str) -> str:
    """A figure with its interval."""
    value, low, high = row.get(name), row.get(f"{name}_low"), row.get(f"{name}_high")
    if value is None or value != value:
        return ""
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f}-{high:.3f})"


def confusion_text(rows: list[dict[str, Any]], classes: tuple[str, ...]) -> str:
    """The confusion matrix."""
    lines = [f"| true | {' | '.join(classes)} |", f"|---|{'---|' * len(classes)}"]
    lines += [f"| {row['true']} | {' | '.join(format(row[name], '.3f') for name in classes)} |" for row in rows]
    return "\n".join(lines)


def failures_text(cases: list[dict[str, Any]], architecture: TissueArchitecture, folder: Path, n_worst: int) -> str:
    """Pictures of the worst fields in `folder`; returns the lines that show them."""
    group = np.zeros(256, np.int64)
    for number, members in enumerate(architecture.members[-2]):
        group[list(members)] = number
    judged = []
    for case in cases:
        truth, found = cv2.imread(case["mask"], cv2.IMREAD_UNCHANGED), read_map(Path(case["map"]))
        both, sides = ((truth > 0) & (found > 0)).sum(), (truth > 0).sum() + (found > 0).sum()
        gland = truth > 0
        wrong = (group[truth] != group[found])[gland & (found > 0)].mean() if (gland & (found > 0)).any() else 0.0
        judged.append((2 * both / max(sides, 1), float(wrong), case, truth, found))
    blocks = []
    sorts = (
        ("gland", "The least Dice of gland", sorted(judged, key=lambda j: j[0])),
        ("grade", "The most gland in a group that it is not", sorted(judged, key=lambda j: -j[1])),
    )
    for sort, title, ordered in sorts:
        lines, seen = [f"**{title}**", ""], set()
        for dice, wrong, case, truth, found in ordered:
            if case["case"] in seen or len(seen) == n_worst:
                continue
            seen.add(case["case"])
            name = f"failure_colon_{sort}_{len(seen)}.jpg"
            picture = draw(Path(case["image"]), truth, found, group)
            cv2.imwrite(str(folder / name), picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            likeliest = architecture.classes[int(np.bincount(found[found > 0], minlength=2).argmax())]
            lines.append(f"![Dice of gland {dice:.2f}, {wrong:.0%} of it in another group]({name})")
            lines += ["", f"True: {case['class']}; found most: {likeliest}; Dice of gland {dice:.2f}.", ""]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def read_map(path: Path) -> Map:
    """A whole map, glass as the first class."""
    with open_class_map(path) as made:
        classes = made.read(Window(0, made.height, 0, made.width))
    return np.where(classes == 255, 0, classes).astype(np.uint8)


def draw(image: Path, truth: Map, found: Map, group: NDArray[np.int64]) -> Map:
    """The part of a field with most pixels of a wrong group, plain and with both outlines of gland (BGR)."""
    wrong = group[truth] != group[found]
    corners = [
        (y, x)
        for y in range(0, max(truth.shape[0] - CROP_PX, 0) + 1, 16)
        for x in range(0, max(truth.shape[1] - CROP_PX, 0) + 1, 16)
    ]
    y, x = max(corners, key=lambda at: int(wrong[at[0] : at[0] + CROP_PX, at[1] : at[1] + CROP_PX].sum()))
    part = (slice(y, y + CROP_PX), slice(x, x + CROP_PX))
    truth, found = truth[part], found[part]
    pixels = cv2.imread(str(image), cv2.IMREAD_COLOR)[part]
    pixels = cv2.resize(pixels, None, fx=ZOOM, fy=ZOOM, interpolation=cv2.INTER_CUBIC)
    outlined = pixels.copy()
    for classes, colour in ((truth, GREEN), (found, MAGENTA)):
        mask = np.repeat(np.repeat((classes > 0).astype(np.uint8), ZOOM, 0), ZOOM, 1)
        outlines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(outlined, outlines, -1, colour, 2)
    return np.concatenate([pixels, np.full((pixels.shape[0], 6, 3), 255, np.uint8), outlined], axis=1)


if __name__ == "__main__":
    main()

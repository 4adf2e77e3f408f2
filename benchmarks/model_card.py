"""Fill docs/models/nucleus.md: what the weights say of themselves, figures per kind, pictures of the worst failures.

    python benchmarks/accuracy.py --only dsb2018 --keep build/acc --json build/dsb2018.json
    python benchmarks/accuracy.py --only nucls --split all --keep build/acc --json build/nucls.json
    python benchmarks/model_card.py --figures build/dsb2018.json build/nucls.json
        --cases build/acc/dsb2018/cases.json build/acc/nucls/cases.json

What stands between `<!-- NAME -->` and `<!-- end NAME -->` in the page is replaced: `weights`, `figures`, `failures`.
Of each kind the images with the least AP@0.5 are shown, cut to the place with most missed and invented nuclei: truth
outlined in green, what the network found in magenta.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from cellseg.evaluate.matching import count_overlaps, figures, match_instances, score_image
from cellseg.io.labels import open_labels
from cellseg.io.weights import find_weights, read_weights
from cellseg.types import Labels, Window

CARD = Path(__file__).parents[1] / "docs" / "models" / "nucleus.md"
FIGURES = ("ap@0.5", "ap@0.75", "f1@0.5", "pq", "aji")
GREEN, MAGENTA = (70, 200, 0), (255, 0, 220)
CROP_PX, PICTURE_PX = 160, 320
JPEG_QUALITY = 80


def main() -> None:
    """Write the page and the pictures beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="nucleus")
    parser.add_argument("--figures", type=Path, nargs="+", required=True, help="--json of benchmarks/accuracy.py")
    parser.add_argument("--cases", type=Path, nargs="*", default=[], help="cases.json of benchmarks/accuracy.py --keep")
    parser.add_argument("--worst", type=int, default=2, help="pictures a kind")
    parser.add_argument("--card", type=Path, default=CARD)
    given = parser.parse_args()
    text = given.card.read_text(encoding="utf-8")
    rows = [row for path in given.figures for row in json.loads(path.read_text(encoding="utf-8"))]
    text = fill(text, "weights", weights_text(find_weights(given.weights)))
    text = fill(text, "figures", figures_text(rows))
    if given.cases:
        text = fill(text, "failures", failures_text(given.cases, given.card.parent, given.worst))
    given.card.write_text(text, encoding="utf-8")
    print(f"{given.card}: filled")


def fill(page: str, name: str, text: str) -> str:
    """The page with the marked place replaced."""
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end {name} -->)", re.S)
    if not marked.search(page):
        raise SystemExit(f"no place <!-- {name} --> in the page")
    return marked.sub(lambda found: f"{found[1]}{text.rstrip()}\n{found[2]}", page)


def weights_text(path: Path) -> str:
    """What the file says of itself, as a table."""
    weights = read_weights(path)
    told = dict(weights.metadata)
    architecture = told.pop("architecture", {})
    size = architecture.get("diameter_um")
    n_weights = sum(tensor.numel() for tensor in weights.tensors.values())
    rows = [
        ("file", f"`{path.name}`, {path.stat().st_size / 1e6:.1f} MB, safetensors, {n_weights / 1e6:.1f} M weights"),
        ("sha256 (of weights and metadata)", f"`{weights.sha256}`"),
        ("trunk", f"{architecture.get('backbone')}, pyramid of {architecture.get('pyramid_channels')} channels"),
        ("classes", ", ".join(architecture.get("classes", []))),
        ("scale", f"objects of {architecture.get('diameter_px'):g} px" + (f", taken as {size:g} um" if size else "")),
    ]
    names = ("licence", "data", "split", "start", "seed", "command", "history", "best_step", "version")
    rows += [(name.replace("_", " "), plain(told[name])) for name in names if told.get(name) is not None]
    lines = "\n".join(f"| {name} | {value} |" for name, value in rows)
    return f"| | |\n|---|---|\n{lines}"


def plain(value: Any) -> str:
    """A value of the metadata in a cell of a table."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text.replace("|", "\\|").replace("\n", " ").strip('"')


def figures_text(rows: list[dict[str, Any]]) -> str:
    """Every kind of image and method, figures with their intervals."""
    lines = [
        f"| images | n | nuclei | method | {' | '.join(name.upper() for name in FIGURES)} |",
        f"|---|---|---|---|{'---|' * len(FIGURES)}",
    ]
    for row in rows:
        values = " | ".join(figure(row, name) for name in FIGURES)
        kind = f"{row['set']} {row['split']}, {row['group']}"
        lines.append(f"| {kind} | {row['n_images']} | {row['n_true']:.0f} | {row['method']} | {values} |")
    return "\n".join(lines)


def figure(row: dict[str, Any], name: str) -> str:
    """A figure with its interval."""
    value, low, high = row[name], row.get(f"{name}_low"), row.get(f"{name}_high")
    if value is None:
        return "-"
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f}-{high:.3f})"


def failures_text(paths: list[Path], folder: Path, n_worst: int) -> str:
    """The worst images of every kind as pictures in `folder`; returns the lines that show them."""
    blocks = []
    for path in paths:
        cases = json.loads(path.read_text(encoding="utf-8"))
        for kind in sorted({case["group"] for case in cases}):
            judged = [judge(case) for case in cases if case["group"] == kind]
            worst = sorted((j for j in judged if j is not None), key=lambda found: found[0])[:n_worst]
            lines = [f"**{path.parent.name}, {kind}**: AP@0.5 " + ", ".join(f"{ap:.2f}" for ap, _ in worst), ""]
            for number, (_, case) in enumerate(worst, start=1):
                name = f"failure_{path.parent.name}_{kind}_{number}.jpg"
                cv2.imwrite(str(folder / name), draw(case), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
                lines.append(f"![{kind}, image {number}: truth green, found magenta]({name})")
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def judge(case: dict[str, Any]) -> tuple[float, dict[str, Any]] | None:
    """AP@0.5 of one image, and the case; None where truth is a handful of nuclei and AP says little."""
    truth, found = read(Path(case["truth"])), read(Path(case["predictions"]["maskrcnn"]))
    if np.unique(truth).size < 6:
        return None
    return figures([score_image(truth, found)])["ap@0.5"], case


def read(path: Path) -> Labels:
    """A whole label image."""
    with open_labels(path) as labels:
        return labels.read(Window(0, labels.height, 0, labels.width))


def draw(case: dict[str, Any]) -> NDArray[np.uint8]:
    """The place of one image with most errors, plain and outlined, side by side (BGR)."""
    truth, found = read(Path(case["truth"])), read(Path(case["predictions"]["maskrcnn"]))
    pixels = cv2.imread(case["image"], cv2.IMREAD_COLOR)
    y, x = worst_place(truth, found)
    part = (slice(y, y + CROP_PX), slice(x, x + CROP_PX))
    zoom = PICTURE_PX // CROP_PX
    plain_part = cv2.resize(pixels[part], None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    outlined = plain_part.copy()
    for labels, color in ((truth, GREEN), (found, MAGENTA)):
        large = np.repeat(np.repeat(labels[part], zoom, axis=0), zoom, axis=1)
        outlined[rims(large)] = color
    return np.concatenate([plain_part, np.full((plain_part.shape[0], 6, 3), 255, np.uint8), outlined], axis=1)


def rims(labels: Labels) -> NDArray[np.bool_]:
    """Pixels of cells that touch another label to their right or below, or at the other side."""
    out = np.zeros(labels.shape, bool)
    across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
    out[:, :-1] |= across
    out[:, 1:] |= across
    out[:-1] |= down
    out[1:] |= down
    return out & (labels > 0)


def worst_place(truth: Labels, found: Labels) -> tuple[int, int]:
    """Corner (y, x) of the crop that holds most pixels of missed and invented nuclei."""
    matching = match_instances(count_overlaps(truth, found))
    wrong = (truth > 0) & ~np.isin(truth, matching.true_ids) | (found > 0) & ~np.isin(found, matching.predicted_ids)
    corners = [
        (y, x)
        for y in range(0, max(truth.shape[0] - CROP_PX, 0) + 1, 16)
        for x in range(0, max(truth.shape[1] - CROP_PX, 0) + 1, 16)
    ]
    return max(corners, key=lambda at: int(wrong[at[0] : at[0] + CROP_PX, at[1] : at[1] + CROP_PX].sum()))


if __name__ == "__main__":
    main()

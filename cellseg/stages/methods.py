"""The names that `segmentation.method` may have. Floor 6: light, so that settings are checked at once."""

from __future__ import annotations

from importlib.metadata import entry_points

from cellseg.config import SegmentationSettings
from cellseg.segment.contract import ENTRY_POINTS

OURS = ("threshold", "maskrcnn")


def known_methods() -> tuple[str, ...]:
    """Ours, and those of installed packages."""
    return (*OURS, *sorted({point.name for point in entry_points(group=ENTRY_POINTS)} - set(OURS)))


def method_fault(settings: SegmentationSettings) -> str | None:
    """What is wrong with `segmentation.method`, or None."""
    known = known_methods()
    if settings.method in known:
        return None
    return (
        f"segmentation.method {settings.method!r}: no such method; there are {', '.join(known)}; correct the name, or "
        "install the package that brings it"
    )


def shards_fault(settings: SegmentationSettings) -> str | None:
    """Why slides cannot be cut into shards with `segmentation.method`, or None where they can.

    Another package says so by `cuttable = False` on its factory, which is imported for that.
    """
    points = [] if settings.method in OURS else [*entry_points(group=ENTRY_POINTS, name=settings.method)]
    try:
        cuttable = all(getattr(point.load(), "cuttable", True) for point in points)
    except Exception:  # noqa: BLE001 - one that cannot be imported says so when a slide is segmented
        return None
    if cuttable:
        return None
    return (
        f"segmentation.method {settings.method} ({points[0].value}): cannot be cut into shards, as it says itself; set "
        "compute.shards to 1, or choose another method"
    )

"""From a folder of microscope images to per-cell tables that separate abnormal cells from healthy ones."""

from __future__ import annotations

__version__ = "0.1.0"

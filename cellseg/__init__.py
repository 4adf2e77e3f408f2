"""From a folder of microscope images to per-cell tables that separate abnormal cells from healthy ones."""

from __future__ import annotations

from cellseg.io.kernel_cache import provide_kernel_cache

__version__ = "0.1.0"

provide_kernel_cache()  # before any module with compiled loops is imported

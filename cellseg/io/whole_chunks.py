"""A Zarr store of whole chunks only: Blosc decodes one that is cut short to what lies in memory. Floor 2.

Imported when an OME-Zarr is opened: zarr takes its time.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import zarr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import WrapperStore

_HEADER_BYTES = 16
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata")

# after a damaged chunk, zarr leaves the reads of the others unfinished, and asyncio would say so of each
logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def open_array(group: zarr.Group, path: str) -> zarr.Array[Any]:
    """The array `path` of a group; where its chunks are Blosc's, one that is cut short is an error when it is read.

    Raises
    ------
    KeyError
        If there is no array of that name.
    """
    array = group[path]
    if not isinstance(array, zarr.Array):
        raise KeyError(f"{path} is not an array")
    if array.shards is not None or not any("blosc" in type(codec).__name__.lower() for codec in array.compressors):
        return array
    store = _WholeChunks(array.store)
    return zarr.open_array(store, path=array.path, mode="r", zarr_format=array.metadata.zarr_format)


class _WholeChunks(WrapperStore[Any]):
    """A store whose chunks say in their first bytes how long they are, as Blosc's do."""

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        value = await super().get(key, prototype, byte_range)
        if value is not None and byte_range is None and not key.endswith(_METADATA):
            head = np.asarray(value[:_HEADER_BYTES].as_numpy_array(), np.uint8).tobytes()
            stated = int.from_bytes(head[12:], "little")
            if len(head) < _HEADER_BYTES or len(value) < stated:
                raise ValueError(f"chunk {key} has {len(value)} bytes of {stated}")
        return value

"""A safetensors writer that holds one tensor at a time, not the model."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tool import MALFORMED, ToolError, write_whole


@dataclass
class Entry:
    """A tensor to be written: `load` returns its values, C-contiguous, as often as it is asked."""

    name: str
    dtype: str  # as safetensors spells it
    shape: tuple[int, ...]
    itemsize: int
    load: Callable[[], np.ndarray]

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=object)) * self.itemsize


def write_safetensors(file: Path, entries: Iterable[Entry], metadata: dict[str, str]) -> None:
    """Writes `entries` one by one, in the order given; `file` appears only once it is complete."""
    entries = list(entries)
    header: dict[str, object] = {"__metadata__": metadata}
    offset = 0
    for entry in entries:
        header[entry.name] = {
            "dtype": entry.dtype,
            "shape": list(entry.shape),
            "data_offsets": [offset, offset + entry.bytes],
        }
        offset += entry.bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the values start at a multiple of 8

    def write(stream) -> None:
        stream.write(struct.pack("<Q", len(text)) + text)
        for entry in entries:
            values = np.ascontiguousarray(entry.load())
            if values.nbytes != entry.bytes:
                raise ToolError(
                    MALFORMED,
                    f"tensor '{entry.name}': {values.nbytes} bytes found, {entry.bytes} expected "
                    f"for shape {list(entry.shape)}",
                )
            stream.write(values.reshape(-1).view(np.uint8).data)

    write_whole(file, write)

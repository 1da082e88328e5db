"""PyTorch's .bin and .pt files (zip archives of tensors) as entries for a safetensors file."""

from __future__ import annotations

import json
import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from safetensors_writer import Entry
from tool import MALFORMED, UNSUPPORTED, ToolError, one_line

SAFETENSORS_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
# What training programs put around the weights, best first.
CONTAINERS = ("state_dict", "model_state_dict", "model", "module")
# What NumPy's numbers and arrays are pickled as, under the names of NumPy 1 and 2. They build plain
# values; of an array of objects torch.load judges each.
NUMPY_VALUES = [
    np.dtype,
    np.ndarray,
    *(getattr(np.dtypes, name) for name in np.dtypes.__all__),
    *(
        (getattr(np._core.multiarray, name), f"{module}.multiarray.{name}")
        for module in ("numpy._core", "numpy.core")
        for name in ("scalar", "_reconstruct")
    ),
]


@dataclass
class Archive:
    """Named tensors, and what was done to find them."""

    tensors: dict[str, torch.Tensor]
    notes: list[str] = field(default_factory=list)


def check_archive(file: Path) -> None:
    """Refuses the wrong kind of file and a zip that would hurt, of which torch.load says little."""
    with file.open("rb") as stream:
        start = stream.read(512)
    if not start.startswith(b"PK\x03\x04"):
        if start[257:262] == b"ustar" or start.startswith((b"\x80\x02", b"\x80\x04")):
            raise ToolError(
                UNSUPPORTED,
                f"{file}: legacy PyTorch file (not a zip archive): not supported; convert it "
                "first, in the program that wrote it: torch.save(torch.load(FILE), NEW_FILE)",
            )
        raise ToolError(
            MALFORMED,
            f"{file}: byte 0: {start[:4]!r} found, a zip archive of tensors (b'PK\\x03\\x04') "
            "expected",
        )
    try:
        with zipfile.ZipFile(file) as archive:
            check_members(file, archive)
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ToolError(
            MALFORMED, f"{file}: damaged zip archive ({one_line(error)}); fetch it again"
        ) from error


def check_members(file: Path, archive: zipfile.ZipFile) -> None:
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    names = [member.filename for member in members]
    if not any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        raise ToolError(
            UNSUPPORTED, f"{file}: a zip archive without data.pkl: not a PyTorch checkpoint"
        )
    if any(name.endswith("constants.pkl") for name in names):
        raise ToolError(
            UNSUPPORTED,
            f"{file}: a TorchScript program, not a table of tensors; save its state_dict() instead",
        )
    end = 0
    for member in members:
        if member.compress_type != zipfile.ZIP_STORED:
            raise ToolError(
                MALFORMED,
                f"{file}: member '{member.filename}' is compressed ({member.file_size} bytes out "
                f"of {member.compress_size}); torch.save stores it plain",
            )
        if member.header_offset < end:
            raise ToolError(
                MALFORMED,
                f"{file}: member '{member.filename}' at byte {member.header_offset} overlaps the "
                f"one before, which ends at byte {end}",
            )
        end = member.header_offset + 30 + len(member.filename.encode()) + member.compress_size
    for member in members:
        if member.CRC == 0:
            continue  # torch.save can be told to compute none
        try:
            with archive.open(member) as stream:
                while stream.read(1 << 24):
                    pass
        except zipfile.BadZipFile as error:
            raise ToolError(
                MALFORMED,
                f"{file}: member '{member.filename}': {one_line(error)}; the file is damaged, "
                "fetch it again",
            ) from error


def unpickled(file: Path) -> Any:
    try:
        with torch.serialization.safe_globals(NUMPY_VALUES):
            return torch.load(file, weights_only=True, mmap=True, map_location="cpu")
    # torch raises UnpicklingError, RuntimeError and others for one and the same cause
    except Exception as error:
        forbidden = re.search(r"(?:GLOBAL|but got <class)\s+[`']?([\w.]+)", str(error))
        if forbidden:
            raise ToolError(
                MALFORMED,
                f"{file}: refused: its pickle calls {forbidden[1]}; a file of weights needs "
                "tensors and dictionaries only: save the model's state_dict() alone",
            ) from error
        raise ToolError(MALFORMED, f"{file}: torch.load: {one_line(error)}") from error


def opened(state: Any) -> tuple[Any, list[str]]:
    """What is in the container, which may be in another one, and the keys that lead there."""
    keys: list[str] = []
    while isinstance(state, dict) and len(keys) < 2:
        inside = [key for key in CONTAINERS if isinstance(state.get(key), dict)]
        if not inside:
            break
        keys.append(inside[0])
        state = state[inside[0]]
    return state, keys


def load(file: Path) -> Archive:
    check_archive(file)
    state, keys = opened(unpickled(file))
    where = "".join(f"['{key}']" for key in keys)
    tensors = (
        {str(name): value for name, value in state.items() if isinstance(value, torch.Tensor)}
        if isinstance(state, dict)
        else {}
    )
    if not tensors:
        holds = f" with the keys {list(map(str, state))[:8]}" if isinstance(state, dict) else ""
        raise ToolError(
            MALFORMED,
            f"{file}{where}: no tensors in it: a {type(state).__name__}{holds} found, a dictionary "
            "of named tensors expected",
        )
    return Archive(tensors, [f"{file}: the weights are taken from {where}"] if keys else [])


def load_all(file: Path) -> Archive:
    """One file, or all the files that a `pytorch_model.bin.index.json` names."""
    if file.suffix != ".json":
        return load(file)
    try:
        shards = sorted(set(json.loads(file.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ToolError(
            MALFORMED, f"{file}: no index: weight_map {{tensor: file}} expected ({one_line(error)})"
        ) from error
    whole = Archive({})
    for shard in shards:
        if Path(shard).name != shard:
            raise ToolError(
                MALFORMED, f"{file}: unsafe path '{shard}': a file beside the index expected"
            )
        if not (file.parent / shard).is_file():
            raise ToolError(MALFORMED, f"{file}: names '{shard}', which is not there")
        part = load(file.parent / shard)
        whole.tensors |= part.tensors
        whole.notes += part.notes
    return whole


def entries(file: Path, keep_shared: bool) -> tuple[list[Entry], dict[str, str], list[str]]:
    """Returns the entries in the file's order, what was left out, and notes.

    The second is {tensor left out: tensor that stores the same memory}, empty with `keep_shared`.
    """
    archive = load_all(file)
    seen: dict[tuple, str] = {}
    result: list[Entry] = []
    shared: dict[str, str] = {}
    for name, tensor in archive.tensors.items():
        memory = (
            tensor.untyped_storage().data_ptr(),
            tensor.storage_offset(),
            tuple(tensor.shape),
            tensor.stride(),
            tensor.dtype,
        )
        if tensor.numel() and not keep_shared and memory in seen:
            shared[name] = seen[memory]
            continue
        seen[memory] = name
        if (
            tensor.dtype not in SAFETENSORS_NAMES
            or tensor.layout != torch.strided
            or tensor.is_quantized
        ):
            raise ToolError(
                UNSUPPORTED,
                f"{file}: tensor '{name}': {tensor.dtype}, {tensor.layout} has no counterpart in "
                "safetensors",
            )
        result.append(
            Entry(
                name,
                SAFETENSORS_NAMES[tensor.dtype],
                tuple(tensor.shape),
                tensor.element_size(),
                lambda t=tensor: as_bytes(t),
            )
        )
    return result, shared, archive.notes


def as_bytes(tensor: torch.Tensor) -> np.ndarray:
    """numpy has no bfloat16: hand over bytes."""
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy()

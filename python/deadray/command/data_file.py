"""A model's inputs from a file of tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..errors import MalformedError, UsageError
from .inputs import Inputs, arguments_of
from .outcome import one_line


def inputs_from_data(file: Path, model: nn.Module) -> Inputs:
    """Tensors named as `model`'s forward names them, of .safetensors or .npz; .npy: token ids.

    Raises UsageError for a file that is missing, MalformedError for what `model` cannot read.
    """
    tensors = _read(file)
    _check_names(file, tensors, model)
    counts = {tensor.shape[0] for tensor in tensors.values()} - {1}
    inputs = Inputs(tensors, file.name, whole=len(counts) > 1)
    if inputs.whole:
        inputs.notes.append("all data in one call: the first dimensions of its tensors differ")
    check_ids(file, tensors.get("input_ids"), model)
    _check_mask(file, tensors.get("attention_mask"))
    ids = tensors.get("input_ids")
    inputs.sequence_length = None if ids is None or ids.ndim != 2 else ids.shape[1]
    return inputs


def check_ids(file: Path, ids: torch.Tensor | None, model: nn.Module) -> None:
    words = getattr(model.config.get_text_config(), "vocab_size", None)
    if ids is None or not words:
        return
    wrong = ((ids < 0) | (ids >= words)).nonzero()
    if len(wrong):
        place = wrong[0].tolist()
        raise MalformedError(
            f"{file}: token {ids[tuple(place)].item()} at {place}: expected 0 to {words - 1}"
        )


def _check_mask(file: Path, mask: torch.Tensor | None) -> None:
    if mask is None:
        return
    wrong = ((mask != 0) & (mask != 1)).nonzero()
    if len(wrong):
        place = wrong[0].tolist()
        raise MalformedError(
            f"{file}: attention_mask is {mask[tuple(place)].item()} at {place}: expected 0 or 1"
        )
    if not mask.any():
        raise MalformedError(f"{file}: attention_mask hides every token")


def _check_names(file: Path, tensors: dict[str, torch.Tensor], model: nn.Module) -> None:
    taken = arguments_of(model)
    for name, tensor in tensors.items():
        if name not in taken:
            raise MalformedError(
                f"{file}: tensor '{name}' is nothing that {type(model).__name__} takes: expected "
                f"of {', '.join(taken)}"
            )
        if tensor.ndim == 0 or tensor.shape[0] == 0:
            raise MalformedError(
                f"{file}: tensor '{name}': shape {list(tensor.shape)}, expected [n, ...], n > 0"
            )
    if not tensors:
        raise MalformedError(f"{file}: no tensors")


def _read(file: Path) -> dict[str, torch.Tensor]:
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"input_ids": _token_ids(file, loaded)}
        return {name: torch.from_numpy(loaded[name]) for name in loaded.files}
    except MalformedError:
        raise
    except Exception as error:  # numpy, zip and safetensors raise a dozen kinds
        raise MalformedError(
            f"{file}: {one_line(error)}; expected .safetensors, .npz or .npy"
        ) from error


def _token_ids(file: Path, ids: np.ndarray) -> torch.Tensor:
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise MalformedError(
            f"{file}: {ids.dtype} {list(ids.shape)}, expected integers [sequences, length]"
        )
    return torch.from_numpy(ids.astype(np.int64))

"""A model's inputs from text, or drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import MalformedError, UnsupportedError, UsageError
from .data_file import check_ids
from .inputs import Inputs
from .models import quiet_transformers
from .outcome import one_line

_LENGTH = 256


def inputs_from_text(file: Path, folder: Path, model: nn.Module, length: int | None) -> Inputs:
    """Whole sequences of `length` tokens, by the folder's tokenizer; the rest is left out.

    Raises UsageError for a file that is missing, MalformedError for one that is no UTF-8,
    UnsupportedError without a tokenizer.
    """
    length = _sequence_length(folder, model, length)
    text = _text_of(file)
    ids = _tokenizer(folder)(text, add_special_tokens=False, verbose=False)["input_ids"]
    if not ids:
        raise MalformedError(f"{file}: no tokens, expected text")
    n = max(1, len(ids) // length)
    used = torch.tensor(ids[: n * length]).view(n, -1)
    check_ids(file, used, model)
    inputs = Inputs({"input_ids": used}, file.name, sequence_length=used.shape[1])
    if left := len(ids) - used.numel():
        inputs.notes.append(f"the last {left} tokens of {file.name} make no whole sequence")
    return inputs


def _tokenizer(folder: Path) -> Callable[..., Mapping[str, list[int]]]:
    try:
        tokenizer = quiet_transformers().AutoTokenizer.from_pretrained(folder)
        # Without any file of words some classes make a tokenizer that knows none.
        files = {"tokenizer.json", *tokenizer.vocab_files_names.values()}
        reason = "" if any((folder / name).exists() for name in files) else "no file of words"
    except Exception as error:  # of transformers, tokenizers, sentencepiece
        reason = one_line(error, 100)
    if reason:
        raise UnsupportedError(
            f"{folder}: no tokenizer that transformers can use ({reason}): give token ids by --data"
        )
    return tokenizer


def random_inputs(
    folder: Path, model: nn.Module, n_tokens: int, length: int | None, seed: int
) -> Inputs:
    """n_tokens: rounded up to whole sequences."""
    length = _sequence_length(folder, model, length)
    config = model.config.get_text_config()
    words = np.setdiff1d(np.arange(config.vocab_size), _special_ids(model.config, config))
    if not len(words):
        words = np.arange(config.vocab_size)
    drawn = np.random.default_rng(seed).choice(words, size=(-(-n_tokens // length), length))
    return Inputs({"input_ids": torch.from_numpy(drawn)}, "random", length, seed)


def _text_of(file: Path) -> str:
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(f"{file}: byte {error.start} is not UTF-8") from error


def _sequence_length(folder: Path, model: nn.Module, asked: int | None) -> int:
    """Raises UsageError for a model that reads no tokens, or not so many."""
    main = getattr(model, "main_input_name", "input_ids")
    if main != "input_ids" or not getattr(model.config.get_text_config(), "vocab_size", None):
        raise UsageError(
            f"{folder}: {type(model).__name__} reads {main}: give it by --data FILE.safetensors, "
            "with tensors named as its forward names them"
        )
    most = _longest(model)
    if asked and most and asked > most:
        raise UsageError(f"--sequence-length {asked}: {folder} takes {most} tokens at most")
    return asked or min(_LENGTH, most or _LENGTH)


def _longest(model: nn.Module) -> int | None:
    """Tokens that have a position of their own; None: no limit is known."""
    most = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding) and "position" in name.rpartition(".")[2]:
            # RoBERTa's count begins behind the padding's.
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            most = min(most or module.num_embeddings, module.num_embeddings - before)
    return most


def _special_ids(*configs: Any) -> list[int]:
    """Ids that stand for padding, pictures and the like."""
    return sorted(
        {
            value
            for config in configs
            for key, value in config.to_dict().items()
            if key.endswith(("_token_id", "_token_index")) and isinstance(value, int)
        }
    )

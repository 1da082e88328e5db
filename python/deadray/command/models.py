"""Models of transformers, from a folder."""

from __future__ import annotations

import json
import logging
import os
import warnings
from pathlib import Path

import torch
from torch import nn

from ..errors import MalformedError, ResourceError, UnsupportedError, UsageError
from .outcome import one_line


def quiet_transformers():
    """transformers, without network, bars and warnings."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    warnings.simplefilter("ignore")
    try:
        import transformers
    except ImportError as error:
        raise ResourceError("watch needs transformers: pip install transformers") from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    logging.disable(logging.WARNING)
    return transformers


def load_model(
    folder: Path, dtype: torch.dtype, device: torch.device, head: bool
) -> tuple[nn.Module, list[str]]:
    """The model in `folder`, and notes on its weights.

    The one that AutoModel makes; with `head`, or where AutoModel has none, the class that
    config.json names. Code that comes with a folder is never run.
    Raises UsageError without a folder, MalformedError for damaged files, UnsupportedError for a
    type that this transformers does not have.
    """
    if not (folder / "config.json").is_file():
        raise UsageError(f"{folder}: expected a folder with config.json and weights")
    transformers = quiet_transformers()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model, info = _class_of(transformers, config, head).from_pretrained(
            folder, config=config, dtype=dtype, output_loading_info=True, trust_remote_code=False
        )
    except (UnsupportedError, MemoryError, torch.OutOfMemoryError):
        raise
    except ImportError as error:
        raise ResourceError(f"{folder}: transformers lacks a package: {one_line(error)}") from error
    except Exception as error:  # a dozen kinds, of transformers, tokenizers and safetensors
        raise _cannot_load(transformers, folder, error) from error
    for part in (config, config.get_text_config()):
        part.use_cache = False
    return model.eval().to(device), _notes(model, info)


def _class_of(transformers, config, head: bool):
    named = [getattr(transformers, name, None) for name in config.architectures or []]
    if not head and type(config) in transformers.AutoModel._model_mapping:
        return transformers.AutoModel
    if not named or named[0] is None:
        raise UnsupportedError(
            f"model_type {config.model_type}: config.json names the classes "
            f"{config.architectures}, and this transformers {transformers.__version__} has none "
            "of them"
        )
    return named[0]


def _cannot_load(transformers, folder: Path, error: Exception) -> Exception:
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        model_type = config.get("model_type")
    except (ValueError, AttributeError) as broken:
        return MalformedError(f"{folder}/config.json: {one_line(broken)}; expected a JSON object")
    if "auto_map" in config and model_type not in transformers.CONFIG_MAPPING:
        return UnsupportedError(
            f"{folder}: its class is its own code (auto_map), which this command never runs: load "
            "it yourself and use deadray.watch"
        )
    if model_type not in transformers.CONFIG_MAPPING:
        return UnsupportedError(
            f"{folder}: model_type {model_type!r} is none that transformers "
            f"{transformers.__version__} has: load it yourself and use deadray.watch"
        )
    return MalformedError(f"{folder}: transformers cannot load it: {one_line(error)}")


def _notes(model: nn.Module, info: dict) -> list[str]:
    """On what the files lack: gamma is random there, or 1."""
    missing = sorted(info.get("missing_keys", ()))
    if not missing:
        return []
    shown = ", ".join(missing[:4]) + (" …" if len(missing) > 4 else "")
    total = len(model.state_dict())
    return [f"{len(missing)} of {total} tensors are not in the files and new: {shown}"]

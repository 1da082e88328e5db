"""What a model reads."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import nn


@dataclass
class Inputs:
    """Arguments of a model's forward: tensors [n, ...] of n sequences, by name.

    kind, sequence_length, seed: for the record.
    whole: all goes in one call, since the tensors' first dimensions count different things.
    """

    tensors: dict[str, torch.Tensor]
    kind: str
    sequence_length: int | None = None
    seed: int | None = None
    whole: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def sequences(self) -> int:
        return 1 if self.whole else max(tensor.shape[0] for tensor in self.tensors.values())

    def complete(self, model: nn.Module, dtype: torch.dtype, device: torch.device) -> None:
        """Gives a decoder the encoder's ids, where it has none, and all tensors their types."""
        if model.config.is_encoder_decoder and "input_ids" in self.tensors:
            given = {"decoder_input_ids", "decoder_inputs_embeds"} & self.tensors.keys()
            if not given and "decoder_input_ids" in arguments_of(model):
                self.tensors["decoder_input_ids"] = self.tensors["input_ids"]
        for name, tensor in self.tensors.items():
            kind = dtype if tensor.is_floating_point() else torch.int64
            self.tensors[name] = tensor.to(
                device, torch.bool if tensor.dtype == torch.bool else kind
            )

    def batches(self, size: int, rank: int, ranks: int) -> Iterator[dict[str, torch.Tensor]]:
        """Every `ranks`-th sequence from `rank` on, `size` in a batch."""
        if self.whole:
            if rank == 0:
                yield self.tensors
            return
        mine = torch.arange(rank, self.sequences, ranks)
        for part in mine.split(size) if len(mine) else ():
            yield {name: self._part(tensor, part) for name, tensor in self.tensors.items()}

    def _part(self, tensor: torch.Tensor, part: torch.Tensor) -> torch.Tensor:
        if tensor.shape[0] == self.sequences:
            return tensor[part.to(tensor.device)]
        return tensor.expand(len(part), *tensor.shape[1:])  # given once: it holds for all


def arguments_of(model: nn.Module) -> list[str]:
    """Names of what its forward takes."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(model.forward).parameters.values()
    return [p.name for p in parameters if p.kind in kinds]

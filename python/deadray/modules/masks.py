"""Which rows of a forward pass count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from ..errors import UsageError

Given = None | bool | torch.Tensor | Callable[[tuple, dict], torch.Tensor | None]


class Mask:
    """The mask of the call that goes on, as `watch` is told to find it.

    given: None: the call's own `attention_mask` [batch, length]; False: no mask; a tensor
        [batch, length]; or a function of the call's arguments and keywords.
    `unfit`: names of norms whose rows are no tokens of the mask, and all counted.
    """

    def __init__(self, given: Given = None):
        if given is True or isinstance(given, str):
            raise UsageError("mask: expected a tensor [batch, length], a function, None or False")
        self._given = given
        self._now: torch.Tensor | None = None
        self.unfit: dict[str, None] = {}

    @contextmanager
    def of_calls(self, model: nn.Module) -> Iterator[None]:
        """Takes the mask off each call of `model`."""
        handle = model.register_forward_pre_hook(self._called, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def _called(self, _module: nn.Module, arguments: tuple, keywords: dict[str, Any]) -> None:
        given = self._given
        if given is False:
            return
        if given is None:
            given = keywords.get("attention_mask")
            # Masks of pairs of tokens [batch, heads, length, length] name no rows.
            if not isinstance(given, torch.Tensor) or given.ndim != 2:
                given = None
        elif callable(given):
            given = given(arguments, keywords)
        if given is not None and given.ndim != 2:
            raise UsageError(f"mask: shape {list(given.shape)}, expected [batch, length]")
        self._now = None if given is None else given.detach().bool()

    def rows(
        self, leading: tuple[int, ...], device: torch.device, name: str
    ) -> torch.Tensor | None:
        """Which rows count, [n] bool; None: all of them.

        leading: shape of what the rows are rows of: [batch, length], [batch * length], or with one
            more dimension for heads, before or after the length.
        """
        mask = self._now
        if mask is None or bool(mask.all()):
            return None
        batch, length = mask.shape
        spread = {
            (batch, length): mask,
            (batch * length,): mask,
        }.get(leading)
        if spread is None and len(leading) == 3 and leading[0] == batch:
            if leading[1] == length:
                spread = mask[:, :, None].expand(leading)
            elif leading[2] == length:
                spread = mask[:, None, :].expand(leading)
        if spread is None:
            self.unfit[name] = None
            return None
        return spread.reshape(-1).to(device)

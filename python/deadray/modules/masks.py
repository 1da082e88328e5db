"""Which rows of a forward pass count."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from deadray.errors import UsageError

Given = None | bool | torch.Tensor | Callable[[tuple, dict], torch.Tensor | None]


class Mask:
    """The mask of the call that goes on, as `watch` is told to find it.

    given: None: the call's own `attention_mask` [batch, length]; for the norms of a decoder that
        reads ids of its own, its `decoder_attention_mask`. False: no mask. Else a tensor
        [batch, length], or a function of the call's arguments and keywords.
    `unfit`: names of norms whose rows are no tokens of the mask, and all counted.
    """

    def __init__(self, given: Given = None):
        if given is True or isinstance(given, str):
            raise UsageError("mask: expected a tensor [batch, length], a function, None or False")
        self._given = given
        self._now = threading.local()  # each thread runs calls of its own
        self._decoder: set[nn.Module] = set()
        self.unfit: dict[str, None] = {}

    @contextmanager
    def of_calls(self, model: nn.Module) -> Iterator[None]:
        """Takes the mask off each call of `model`."""
        signature = inspect.signature(model.forward)
        find_decoder = getattr(model, "get_decoder", None)
        if callable(find_decoder):
            self._decoder = set(find_decoder().modules())
        handle = model.register_forward_pre_hook(
            lambda _, arguments, keywords: self._called(signature, arguments, keywords),
            with_kwargs=True,
        )
        try:
            yield
        finally:
            handle.remove()

    def _called(self, signature: inspect.Signature, arguments: tuple, keywords: dict) -> None:
        given, now = self._given, self._now
        now.mask = now.decoder_mask = None
        if given is False:
            return
        if given is None:
            named = _named(signature, arguments, keywords)
            now.mask = _of_tokens(named.get("attention_mask"))
            own = any(key.startswith("decoder_input") for key in named if named[key] is not None)
            key = "decoder_attention_mask" if own else "attention_mask"
            now.decoder_mask = _of_tokens(named.get(key))
            return
        if callable(given):
            given = given(arguments, keywords)
        if given is not None and given.ndim != 2:
            raise UsageError(f"mask: shape {list(given.shape)}, expected [batch, length]")
        now.mask = now.decoder_mask = _of_tokens(given)

    def rows(
        self, leading: tuple[int, ...], device: torch.device, name: str, module: nn.Module
    ) -> torch.Tensor | None:
        """Which rows of a norm count, [n] bool; None: all of them.

        leading: shape of what the rows are rows of: [batch, length], [batch * length], or with one
            more dimension for heads, before or after the length.
        """
        which = "decoder_mask" if module in self._decoder else "mask"
        mask = getattr(self._now, which, None)
        if mask is None or bool(mask.all()):
            return None
        spread = _spread(mask, leading)
        if spread is None:
            self.unfit[name] = None
            return None
        return spread.reshape(-1).to(device)


def _named(signature: inspect.Signature, arguments: tuple, keywords: dict) -> dict[str, Any]:
    try:
        return signature.bind_partial(*arguments, **keywords).arguments | keywords
    except TypeError:
        return keywords


def _of_tokens(given: Any) -> torch.Tensor | None:
    """Masks of pairs of tokens [batch, heads, length, length] name no rows."""
    if not isinstance(given, torch.Tensor) or given.ndim != 2:
        return None
    given = given.detach()
    if given.is_floating_point() and not bool(((given == 0) | (given == 1)).all()):
        raise UsageError("mask: numbers other than 0 and 1, expected 1 for each row that counts")
    return given.bool()


def _spread(mask: torch.Tensor, leading: tuple[int, ...]) -> torch.Tensor | None:
    """The mask in that shape; None where it has none, or where two would fit."""
    batch, length = mask.shape
    if leading in ((batch, length), (batch * length,)):
        return mask
    if len(leading) != 3 or leading[0] != batch or leading[1] == leading[2]:
        return None
    if leading[1] == length:
        return mask[:, :, None].expand(leading)
    return mask[:, None, :].expand(leading) if leading[2] == length else None

"""Directions of a live model's parameters that change no output, consumer by consumer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from deadray.errors import UsageError
from deadray.modules.consumers import Consumer, Readers, find_readers
from deadray.modules.dead_spaces import Moved, RowSpace, ShiftSpace, Tangent
from deadray.modules.fixed_functionals import Functionals
from deadray.modules.parameters import plain_name

Space = RowSpace | ShiftSpace


@dataclass(frozen=True, eq=False)
class DeadParameters:
    """Of one linear map that reads a norm.

    consumer, norm: names of the two modules. width: outputs of the map.
    family: what moves. "weight_and_bias": dW = u (1/gamma)^T and db = -c u, for every u, where c is
        what <1/gamma, h> equals for every output h of the norm. "weight": c = 0, and no bias.
        "weight_and_beta": no bias; a shift of beta compensates, with all consumers of the norm.
        "none": nothing is claimed.
    why: one clause for people.
    count: of directions; those that several consumers share count, and are, at the first of them.
    parameters: names of what moves, as model.named_parameters() has them.

    Directions and projection are those of the gamma and beta at the time of dead_parameters(); the
    model's weights, which the family weight_and_beta needs, are read when asked for.
    """

    consumer: str
    norm: str
    width: int
    family: str
    why: str
    count: int
    parameters: tuple[str, ...]
    _spaces: tuple[Space, ...] = field(repr=False)
    _values: Mapping[str, torch.Tensor] = field(repr=False)

    def directions(self, seed: int | None = None) -> Iterator[Tangent]:
        """Unit tangents, of the parameters' shapes and dtypes, on their devices.

        Without a seed: an orthonormal basis, `count` of them. With one: endless random ones, along
        which outputs stay at any step size. Along the basis they do too, but for the part that
        shifts beta: it is tangent to curves, and a step t along it moves outputs by t^2.
        """
        if seed is None:
            for space in self._spaces:
                yield from (self._unit(tangent) for tangent in space.basis(self._values))
            return
        generator = torch.Generator().manual_seed(seed)
        while self._spaces:
            drawn = [space.random(self._values, generator) for space in self._spaces]
            yield self._unit(_sum(drawn))

    def project(self, tensors: Mapping[str, torch.Tensor], in_place: bool = False) -> Tangent:
        """The same tensors without their dead part: gradients, updates, LoRA's products B A.

        tensors: by parameter name, of the parameters' shapes; the names may be those of the model
            inside DistributedDataParallel and torch.compile, or of the model around it. Others in
            it are left alone; without any of `parameters`, or with None for all, nothing changes.
            The projection is orthogonal in the space of all `parameters` together.
        in_place: the tensors given are changed, too.

        Raises UsageError where some of `parameters` are there and others are not, and for a tensor
        of another shape.
        """
        given = self._given_names(tensors)
        missing = [name for name in self.parameters if name not in given]
        if len(missing) == len(self.parameters):
            return dict(tensors)
        if missing:
            raise UsageError(
                f"{self.consumer}: its dead directions move {', '.join(self.parameters)} together: "
                f"{', '.join(missing)} is missing; give zeros for what shall not move"
            )
        mine = {name: tensors[given[name]] for name in self.parameters}
        for space in self._spaces:
            for name, dead in space.dead_part(mine, self._values).items():
                dead = dead.reshape(mine[name].shape).to(mine[name])
                mine[name] = mine[name].detach().sub_(dead) if in_place else mine[name] - dead
        return dict(tensors) | {given[name]: tensor for name, tensor in mine.items()}

    def _given_names(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, str]:
        """What each of `parameters` is called in `tensors`, of those that are there."""
        plain = {plain_name(name): name for name in tensors}
        given = {}
        for name in self.parameters:
            its = name if name in tensors else plain.get(plain_name(name))
            if its is None or tensors[its] is None:
                continue
            found, expected = list(tensors[its].shape), list(self._values[name].shape)
            if found != expected:
                raise UsageError(f"{its}: shape {found}, expected {expected}, its parameter's")
            given[name] = its
        return given

    @property
    def null_space(self) -> torch.Tensor | None:
        """Rows n with <n, x> = 0 for every input x of the map: [k, inputs] orthonormal, float64.

        For weight_and_bias x has a 1 behind it, as in K-FAC's factor A = E[x x^T]: A n = 0, and
        u n^T is dead for every u. None where no direction is of the weight and its bias alone.
        """
        return next((space.null for space in self._spaces if isinstance(space, RowSpace)), None)

    def project_factor(self, factor: torch.Tensor) -> torch.Tensor:
        """K-FAC's input factor without what is dead: P A P, P = I - sum n n^T; as large as n is."""
        null = self.null_space
        if null is None:
            return factor
        null = null.to(factor)
        left = factor - null.T @ (null @ factor)
        return left - (left @ null.T) @ null

    def _unit(self, tangent: Tangent) -> Tangent:
        size = torch.stack([t.double().square().sum().cpu() for t in tangent.values()]).sum().sqrt()
        shaped = {}
        for name, value in tangent.items():
            like = self._values[name]
            shaped[name] = (value / size.to(value)).reshape(like.shape).to(like)
        return shaped


def dead_parameters(
    model: nn.Module, example=None, readers: list[Readers] | None = None
) -> list[DeadParameters]:
    """For every linear map that reads a norm of `model`: which of its directions are dead.

    example: arguments of one call of the model: a tensor, a tuple, or a mapping of keywords; its
        dummy_inputs unless given. The model runs once, in evaluation mode, to see what reads what.
    readers: of an earlier find_readers(model). Then the model does not run; gamma and beta are read
        anew, as an optimiser needs after each step.

    A weight that has another use, as a head tied to the embedding, is claimed nothing: a change
    would move the other use too. Directions are dead in evaluation mode; in training where no
    dropout lies between norm and consumer. What find_readers() does not see is not listed.
    """
    if readers is None:
        readers = find_readers(model, example)
    values = dict(model.named_parameters(remove_duplicate=False))
    return [dead for of_norm in readers for dead in _of_norm(of_norm, values)]


def _of_norm(readers: Readers, values: Mapping[str, torch.Tensor]) -> Iterator[DeadParameters]:
    norm = readers.norm.current() or readers.norm
    fixed = Functionals.of(norm)
    obstacle = _beta_obstacle(readers)
    shift_given = False
    for consumer in readers.consumers:
        family, why, spaces = _claim(consumer, norm.kind, fixed)
        if family == "" and obstacle:
            family, why = "weight" if spaces else "none", obstacle
        elif family == "":
            family, why = "weight_and_beta", "shares the shift of beta counted before"
            if not shift_given:
                why = "a shift of beta takes up the constant"
                spaces = (*spaces, _shift_space(readers, norm.shift.sign, fixed))
            shift_given = True
        names = dict.fromkeys(name for space in spaces for name in space.names)
        count = sum(space.count for space in spaces)
        yield DeadParameters(
            consumer.name,
            norm.name,
            consumer.width,
            family,
            why,
            count,
            tuple(names),
            spaces,
            values,
        )


def _claim(consumer: Consumer, kind: str, fixed: Functionals) -> tuple[str, str, tuple[Space, ...]]:
    """Family, reason and spaces of the map alone; no family: it is for beta to compensate."""
    if len(fixed) == 0:
        rms = kind == "rmsnorm"
        why = "an RMSNorm fixes" if rms else "its scale is not finite, which fixes"
        return "none", f"{why} no direction of its output", ()
    if consumer.tied:
        return "none", "its weight is tied: a change moves the other use too", ()
    if not consumer.only:
        return "none", "it reads more than this norm's output", ()
    if consumer.bias is not None:
        space = RowSpace(Moved(consumer, weight=True, bias=True), _with_constants(fixed))
        return "weight_and_bias", "the bias takes up the constant", (space,)
    alone = Moved(consumer, weight=True, bias=False)
    if not bool(fixed.constants.any()):
        return "weight", "the constant is 0", (RowSpace(alone, fixed.vectors),)
    # Of k functionals, k - 1 combinations have the constant 0 and need no compensation.
    combinations = torch.linalg.qr(fixed.constants[:, None], mode="complete").Q[:, 1:].T
    if len(combinations) == 0:
        return "", "", ()
    return "", "", (RowSpace(alone, combinations @ fixed.vectors),)


def _beta_obstacle(readers: Readers) -> str:
    """Why no shift of this norm's beta can be compensated, or nothing."""
    if readers.beta is None:
        return "no bias, and beta is not the norm's own parameter"
    if readers.others:
        return "no bias, and beta also shifts what else reads the norm"
    if any(not consumer.only for consumer in readers.consumers):
        return "no bias, and a shift of beta would reach a map that reads more than this norm"
    if any(consumer.tied and consumer.bias is None for consumer in readers.consumers):
        return "no bias, and a shift of beta would reach a weight that is tied"
    return ""


def _with_constants(fixed: Functionals) -> torch.Tensor:
    """[k, hidden_size + 1] orthonormal: of [v, -c], which reads 0 of every [h, 1]."""
    rows = torch.cat((fixed.vectors, -fixed.constants[:, None]), 1)
    return torch.linalg.qr(rows.T).Q.T.contiguous()


def _shift_space(readers: Readers, sign: float, fixed: Functionals) -> ShiftSpace:
    null = _with_constants(fixed)
    bias_alone = torch.eye(null.shape[1], dtype=null.dtype)[-1]
    rows = {  # by what moves: weight, bias
        (True, False): fixed.vectors.T @ fixed.constants / fixed.constants.square().sum(),
        (True, True): bias_alone - null.T @ null[:, -1],
        (False, True): torch.ones(1, dtype=null.dtype),
    }
    compensating = []
    for consumer in readers.consumers:
        moves = (not consumer.tied, consumer.bias is not None)
        compensating.append((Moved(consumer, *moves), rows[moves]))
    return ShiftSpace(readers.beta, sign, fixed.vectors, tuple(compensating))


def _sum(tangents: list[Tangent]) -> Tangent:
    total: Tangent = {}
    for tangent in tangents:
        for name, value in tangent.items():
            total[name] = total[name].to(value) + value if name in total else value
    return total

"""Figures of several models beside the first: over the numbers of a run, or over the norms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from statistics import median

from reporting import axes as shared
from reporting.palette import BLUE, GREEN, INK, ORANGE, SERIES
from reporting.records import Record
from reporting.section import Panel
from reporting.table import Table

MOST_LINES = 24  # of single norms; more become medians and ranges
PARTS = (
    (BLUE, "-", "first third"),
    (GREEN, "--", "middle third"),
    (ORANGE, "-.", "last third"),
)


@dataclass(frozen=True)
class Quantity:
    """What is drawn of a norm in one model beside the first."""

    key: str
    title: str
    label: str
    at_first: float | None = None  # of the first model itself; None: 0, on a logarithmic axis
    paired: bool = False  # the record has it of the first model and of this one

    def of(self, pair: dict) -> float | None:
        value = pair.get(self.key)  # records of before lack some
        return value[1] if self.paired and value is not None else value

    def of_first(self, norm: Norm) -> float | None:
        if not self.paired:
            return self.at_first
        value = next(iter(norm.pairs.values())).get(self.key)
        return None if value is None else value[0]


QUANTITIES = (
    Quantity("abs_cos", "Agreement of the dead directions", "|cos| with the first", 1.0),
    Quantity("one_minus_abs_cos", "Drift of the dead directions", "1 − |cos| with the first"),
    Quantity("gamma_change", "Change of γ", "|γ − first γ| / |first γ|"),
    Quantity("gamma_min", "Least scale", "least |γ|", paired=True),
    Quantity("coordinates", "Dead coordinates", "γ practically zero", paired=True),
)


@dataclass(frozen=True)
class Norm:
    """A norm of the first model, and how it compares in each further model that has it."""

    name: str
    kind: str
    hidden_size: int
    is_final: bool
    pairs: dict[int, dict]  # by the model's index


def norms_of(record: Record) -> list[Norm]:
    """In the first model's order."""
    found: dict[str, Norm] = {}
    for pair in record.data["pairs"]:
        for norm in pair["norms"]:
            shape = norm["norm"], norm["hidden_size"], norm["final"]
            known = found.setdefault(norm["name"], Norm(norm["name"], *shape, {}))
            known.pairs[pair["model"]] = norm
    names = [site["name"] for site in record.data["models"][0]["sites"]]
    return [found[name] for name in names if name in found]


def panels_of(record: Record, number: int, points: Table) -> list[Panel]:
    """`points` are the numbers of all of them: the first one has them."""
    norms, steps = norms_of(record), record.data["steps"]
    is_run = steps is not None and len(steps) > 2
    panels = []
    for quantity in QUANTITIES:
        if quantity.paired and not is_run:
            continue  # the table has them
        values = [
            value
            for norm in norms
            for pair in norm.pairs.values()
            if (value := quantity.of(pair)) is not None and (value > 0 or quantity.at_first)
        ]
        if not values or (not is_run and len(norms) < 2):
            continue
        draw = partial(_over_steps if is_run else _over_norms, record, norms, quantity, values)
        groups = 1 + len(PARTS) if is_run else len(record.data["pairs"])
        panels.append(
            Panel(
                f"drift-{number}-{quantity.key.replace('_', '-')}",
                f"{quantity.title}, {_models(record)}",
                f"Line plot of {quantity.label}, {len(record.data['labels'])} models, "
                f"{len(norms)} norms: from {min(values):.3g} to {max(values):.3g}.",
                draw,
                2.6 + 0.09 * min(groups, len(SERIES)),
                None if panels else points,
            )
        )
    return panels


def _models(record: Record) -> str:
    labels = [shared.shortened(label, 24) for label in record.data["labels"]]
    return f"{labels[0]} {'and' if len(labels) == 2 else '…'} {labels[-1]}"


def _set_up(axes, quantity: Quantity, values: list[float]) -> None:
    if quantity.at_first is None:
        shared.log_axis(axes, "y", values)
    else:
        axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel(quantity.label)


def _series(norm: Norm, quantity: Quantity, models: int) -> list[float]:
    """One value for each model; NaN, a gap, where there is none or it is not on the axis."""
    values = [quantity.of_first(norm)]
    values += [quantity.of(norm.pairs.get(model, {})) for model in range(1, models)]
    kept = [v is not None and (v > 0 or quantity.at_first is not None) for v in values]
    return [v if keep else math.nan for v, keep in zip(values, kept, strict=True)]


def _over_steps(
    record: Record, norms: list[Norm], quantity: Quantity, values: list[float], axes
) -> None:
    steps = record.data["steps"]
    at = _positions(steps)
    others = [norm for norm in norms if not norm.is_final]
    series = [_series(norm, quantity, len(steps)) for norm in others]
    _set_up(axes, quantity, values)
    for i, (colour, dash, name) in enumerate(PARTS):
        part = [s for j, s in enumerate(series) if j * len(PARTS) // len(series) == i]
        if len(others) > MOST_LINES:
            _band(axes, at, part, colour, dash, f"{name}, median")
        else:
            for one in part:
                axes.plot(at, one, dash, color=colour, linewidth=0.9, label=name)
    for norm in norms:
        final = _series(norm, quantity, len(steps))
        if norm.is_final and not all(map(math.isnan, final[1:])):
            axes.plot(at, final, "o-", color=INK, linewidth=2.4, markersize=4, label="final norm")
    _step_axis(axes, steps, at)
    shared.legend_above(axes)


def _band(axes, at: list[float], part: list[list[float]], colour: str, dash: str, name: str):
    columns = [
        [value for value in column if not math.isnan(value)] or [math.nan]
        for column in zip(*part, strict=True)
    ]
    axes.fill_between(
        at, [min(c) for c in columns], [max(c) for c in columns], color=colour, alpha=0.15, lw=0
    )
    axes.plot(at, [median(c) for c in columns], dash, color=colour, linewidth=1.4, label=name)


def _over_norms(
    record: Record, norms: list[Norm], quantity: Quantity, values: list[float], axes
) -> None:
    _set_up(axes, quantity, values)
    models = len(record.data["labels"])
    series = [_series(norm, quantity, models) for norm in norms]
    for (colour, marker, dash), model in zip(SERIES, range(1, models), strict=False):
        axes.plot(
            range(1, len(norms) + 1),
            [one[model] for one in series],
            marker + dash,
            color=colour,
            markersize=4,
            linewidth=1.1,
            label=shared.shortened(record.data["labels"][model], 40),
        )
    axes.xaxis.get_major_locator().set_params(integer=True, nbins=8)
    axes.set_xlabel("norm, in order of evaluation")
    shared.legend_above(axes)


def _positions(steps: list[int]) -> list[float]:
    """Where steps stand: evenly, or where they span two powers of ten by their logarithms, a step
    of 0 half a power before the next."""
    positive = [step for step in steps if step > 0]
    if not positive or positive[-1] < 100 * positive[0]:
        return [float(step) for step in steps]
    return [math.log10(step) if step > 0 else math.log10(positive[0]) - 0.5 for step in steps]


def _step_axis(axes, steps: list[int], at: list[float]) -> None:
    """Ticks at steps, the last and as many before as have room for their numbers."""
    kept = [len(steps) - 1]
    for i in range(len(steps) - 2, -1, -1):
        if at[kept[-1]] - at[i] >= 0.15 * (at[-1] - at[0]):
            kept.append(i)
    axes.set_xticks([at[i] for i in kept], [_short(steps[i]) for i in kept])
    axes.set_xlabel("the checkpoint's number")


def _short(step: int) -> str:
    for unit, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if step >= 10 * unit:
            return f"{step / unit:.4g}{letter}"
    return str(step)

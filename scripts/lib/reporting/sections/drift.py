"""Several models beside the first: how far training moves the dead directions and the scales."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from statistics import median

from reporting import axes as shared
from reporting.palette import BLUE, GREEN, INK, NORMS, ORANGE, SERIES
from reporting.records import Record, Records
from reporting.section import Panel, Section
from reporting.table import Table, cosine, count, ratio, small, text

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


QUANTITIES = (
    Quantity("abs_cos", "Agreement of the dead directions", "|cos| with the first", 1.0),
    Quantity("one_minus_abs_cos", "Drift of the dead directions", "1 − |cos| with the first"),
    Quantity("gamma_change", "Change of γ", "|γ − first γ| / |first γ|"),
)


@dataclass(frozen=True)
class Norm:
    """A norm of the first model, and how it compares in each further model that has it."""

    name: str
    kind: str
    hidden_size: int
    is_final: bool
    pairs: dict[int, dict]  # by the model's index


def section(records: Records) -> Section | None:
    chosen = records.of("predict-several")
    if not chosen:
        return None
    return Section(
        id="drift",
        title="Drift of the predicted directions",
        shows="Several models, each beside the first one: |cos| of their predicted dead "
        "directions, and the change of γ relative to the first, for norms of one name, kind and "
        "width. The direction is 1/γ to unit length; where γ is practically zero the spans of "
        "those coordinates are compared, by their largest principal angle.",
        reading="Checkpoints of one run stand at their numbers, other models are drawn over the "
        "norms in order of evaluation. 1 − |cos| shows what |cos| hides near 1; no change at all "
        "is not on its axis. The thick line is the final norm. The others are coloured by thirds "
        "of their order: single lines, or where there are many the median with the range. An "
        "RMSNorm predicts no direction: its γ alone is compared.",
        tables=[_table(chosen)],
        panels=[panel for i, record in enumerate(chosen) for panel in _panels(record, i)],
    )


def _norms(record: Record) -> list[Norm]:
    """In the first model's order."""
    found: dict[str, Norm] = {}
    for pair in record.data["pairs"]:
        for norm in pair["norms"]:
            shape = norm["norm"], norm["hidden_size"], norm["final"]
            known = found.setdefault(norm["name"], Norm(norm["name"], *shape, {}))
            known.pairs[pair["model"]] = norm
    names = [site["name"] for site in record.data["models"][0]["sites"]]
    return [found[name] for name in names if name in found]


def _table(chosen: list[Record]) -> Table:
    columns = [
        text("file", "record"),
        text("norm_name", "norm"),
        text("norm", "kind"),
        text("final", "final norm"),
        count("hidden_size", "d"),
        count("models", "models"),
        cosine("abs_cos_min", "least |cos|"),
        small("one_minus_abs_cos_max", "1 − |cos|"),
        text("at_model", "at"),
        cosine("abs_cos_last", "last |cos|"),
        small("gamma_change_last", "last change of γ"),
        ratio("gamma_min", "least |γ|"),
        count("dimension_first", "dead, first"),
        count("dimension_last", "dead, last"),
    ]
    rows = []
    for record in chosen:
        labels = record.data["labels"]
        for norm in _norms(record):
            last = norm.pairs.get(len(labels) - 1) or {}
            far = max(
                (model for model, pair in norm.pairs.items() if pair["abs_cos"] is not None),
                key=lambda model: norm.pairs[model]["one_minus_abs_cos"],
                default=None,
            )
            farthest = {} if far is None else norm.pairs[far]
            some = next(iter(norm.pairs.values()))
            rows.append(
                [
                    record.file,
                    norm.name,
                    NORMS[norm.kind][2],
                    norm.is_final,
                    norm.hidden_size,
                    1 + len(norm.pairs),
                    farthest.get("abs_cos"),
                    farthest.get("one_minus_abs_cos"),
                    labels[far] if farthest.get("one_minus_abs_cos") else None,
                    last.get("abs_cos"),
                    last.get("gamma_change"),
                    min(least for pair in norm.pairs.values() for least in pair["gamma_min"]),
                    some["dimension"][0],
                    last["dimension"][1] if last else None,
                ]
            )
    return Table("drift", "Each norm over the models", columns, rows)


def _points(record: Record) -> Table:
    columns = [
        text("file", "record"),
        text("model", "model"),
        count("step", "number"),
        text("norm_name", "norm"),
        cosine("abs_cos", "|cos|"),
        small("one_minus_abs_cos", "1 − |cos|"),
        small("angle", "angle"),
        small("gamma_change", "change of γ"),
        ratio("gamma_min", "least |γ|"),
        count("dimension", "dead"),
    ]
    steps = record.data["steps"]
    rows = [
        [
            record.file,
            record.data["labels"][pair["model"]],
            steps[pair["model"]] if steps else None,
            norm["name"],
            *(norm[key] for key in ("abs_cos", "one_minus_abs_cos", "angle", "gamma_change")),
            norm["gamma_min"][1],
            norm["dimension"][1],
        ]
        for pair in record.data["pairs"]
        for norm in pair["norms"]
    ]
    return Table("drift_points", "each norm of each model beside the first", columns, rows)


def _panels(record: Record, number: int) -> list[Panel]:
    norms, steps = _norms(record), record.data["steps"]
    is_run = steps is not None and len(steps) > 2
    panels = []
    for quantity in QUANTITIES:
        values = [
            value
            for norm in norms
            for pair in norm.pairs.values()
            if (value := pair[quantity.key]) is not None and (value > 0 or quantity.at_first)
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
                None if panels else _points(record),
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
    values = [quantity.at_first]
    values += [norm.pairs.get(model, {}).get(quantity.key) for model in range(1, models)]
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

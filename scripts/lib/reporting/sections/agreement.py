"""The paper's table: does the predicted direction agree with the measured one, for every model?"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median

from reporting import axes as shared
from reporting.palette import FAINT, NORMS
from reporting.records import Record, Records
from reporting.section import Panel, Section, in_parts
from reporting.sections.common import (
    MODEL_COLUMNS,
    final_site,
    inherited,
    least_cosine,
    marker_face,
    of,
    worst_verdict,
)
from reporting.table import Table, cosine, count, ratio, text


def section(records: Records) -> Section | None:
    if not records.verify:
        return None
    return Section(
        id="agreement",
        title="Predicted against measured direction",
        shows="|cos| between the direction that γ alone predicts and the bottom eigenvector of the "
        "measured covariance, at the final norm of every model, with random and with trained "
        "weights. A LayerNorm is predicted to have a dead direction, an RMSNorm none: its "
        "row is the control.",
        reading="1 is agreement. For a LayerNorm with several dead directions it is the least "
        "principal cosine between the two subspaces. For an RMSNorm it is that of 1/γ, which "
        "predicts nothing there; the bar marks the mean for a random direction, √(2/(πd)), "
        "and p is the probability that a random direction reaches the value. Filled: trained "
        "weights; hollow: random ones. exact: the norm recomputed in FP64 from its input; "
        "deployed: as the model's own dtype made it.",
        tables=[_models(records), _kinds(records)],
        panels=_panels(records, _panel),
        posters=_panels(records, _poster),
    )


def _models(records: Records) -> Table:
    columns = [
        *MODEL_COLUMNS,
        text("norm", "norm"),
        count("hidden_size", "d"),
        cosine("abs_cos_exact", "|cos| exact"),
        cosine("abs_cos_deployed", "|cos| deployed"),
        ratio("chance_p", "p"),
        text("verdict", "verdict"),
        count("predicted_dimension", "dead, predicted"),
        count("inherited", "inherited"),
        count("measured_dimension", "measured"),
        count("norms", "norms measured"),
        count("tokens", "tokens"),
        text("calibration", "input"),
        text("dtype", "dtype"),
    ]
    rows = []
    for kind in NORMS:
        for record in records.verify:
            site = final_site(record)
            if site["norm"] != kind:
                continue
            decisive = site["exact"] or site["deployed"]
            rows.append(
                [
                    records.name(record),
                    record.weights,
                    NORMS[kind][2],
                    site["hidden_size"],
                    least_cosine(site["exact"]),
                    least_cosine(site["deployed"]),
                    of(decisive, "chance_p") if site["predicted"]["dimension"] == 0 else None,
                    worst_verdict(record),
                    site["predicted"]["dimension"],
                    inherited(site),
                    of(decisive, "dimension"),
                    len(record.data["sites"]),
                    record.data["calibration"]["tokens"],
                    record.data["calibration"]["kind"],
                    record.data["model"]["dtype"],
                ]
            )
    return Table("models", "Final norm of every model", columns, rows)


def _kinds(records: Records) -> Table:
    """LayerNorm against RMSNorm over all norms that were measured."""
    columns = [
        text("norm", "norm"),
        text("weights", "weights"),
        count("models", "models"),
        count("norms", "norms"),
        count("confirmed", "confirmed"),
        count("absent", "absent"),
        count("refuted", "refuted"),
        count("undetermined", "undetermined"),
        cosine("abs_cos_min", "least |cos|"),
        cosine("abs_cos_median", "median |cos|"),
        cosine("abs_cos_max", "largest |cos|"),
    ]
    groups: dict[tuple[str, str], list[tuple[str, dict]]] = {}
    for record in records.verify:
        for site in record.data["sites"]:
            groups.setdefault((site["norm"], record.weights), []).append((record.model, site))
    rows = []
    for (kind, weights), members in sorted(
        groups.items(), key=lambda item: (item[0][0], item[0][1])
    ):
        cosines = [
            value
            for _, site in members
            if (value := least_cosine(site["exact"] or site["deployed"])) is not None
        ]
        verdicts = [
            sum(site["verdict"] == verdict for _, site in members)
            for verdict in ("confirmed", "absent", "refuted", "undetermined")
        ]
        spread = [min(cosines), median(cosines), max(cosines)] if cosines else [None] * 3
        rows.append(
            [
                NORMS[kind][2],
                weights,
                len({model for model, _ in members}),
                len(members),
                *verdicts,
                *spread,
            ]
        )
    return Table("kinds", "LayerNorm against RMSNorm, all norms measured", columns, rows)


def _panels(records: Records, make: Callable[..., Panel]) -> list[Panel]:
    by_model: dict[str, list[Record]] = {}
    for record in records.verify:
        by_model.setdefault(records.name(record), []).append(record)
    names = sorted(by_model, key=lambda name: (final_site(by_model[name][0])["norm"], name.lower()))
    return [
        make(i, part, {name: by_model[name] for name in chosen})
        for i, (chosen, part) in enumerate(in_parts(names))
    ]


def _panel(i: int, part: str, by_model: dict[str, list[Record]]) -> Panel:
    def draw(axes) -> None:
        _dots(axes, by_model)
        shared.named_rows(axes, list(by_model))
        shared.legend_above(axes)

    height = shared.height_of_rows(len(by_model)) + 0.3
    return Panel(f"agreement-{i}", _title(part), _description(by_model), draw, height)


def _poster(i: int, part: str, by_model: dict[str, list[Record]]) -> Panel:
    """The same dots for a wide page: names at the side, rows close together."""

    def draw(axes) -> None:
        _dots(axes, by_model)
        shared.rows_named_at_the_side(axes, list(by_model))
        shared.legend_above(axes, columns=3)

    height = shared.height_of_narrow_rows(len(by_model)) + 0.2
    return Panel(
        f"agreement-wide-{i}", _title(part), _description(by_model), draw, height, width=7.5
    )


def _dots(axes, by_model: dict[str, list[Record]]) -> None:
    for row, group in enumerate(by_model.values()):
        for record in group:
            site = final_site(record)
            colour, marker, kind = NORMS[site["norm"]]
            value = least_cosine(site["exact"] or site["deployed"])
            if value is not None:
                axes.plot(
                    value,
                    row,
                    marker,
                    color=colour,
                    markerfacecolor=marker_face(record, colour),
                    markersize=9 if record.weights == "random" else 5,
                    label=f"{kind}, {record.weights}",
                    clip_on=False,
                    linestyle="none",
                )
    for row, group in enumerate(by_model.values()):
        chance = math.sqrt(2 / (math.pi * final_site(group[0])["hidden_size"]))
        axes.plot(
            chance,
            row,
            "|",
            color=FAINT,
            markersize=11,
            markeredgewidth=1.5,
            label="random direction",
            linestyle="none",
        )
    axes.set_xlim(0, 1)
    axes.set_xlabel("|cos|, predicted and measured direction")


def _title(part: str) -> str:
    return f"|cos| of predicted and measured direction, by model{part}"


def _description(by_model: dict[str, list[Record]]) -> str:
    sites = [final_site(record) for group in by_model.values() for record in group]
    return f"Dot plot, {len(by_model)} models, {len(sites)} measurements. {_in_words(sites)}"


def _in_words(sites: list[dict]) -> str:
    words = []
    for kind, (_, _, name) in NORMS.items():
        values = [
            v
            for site in sites
            if site["norm"] == kind
            and (v := least_cosine(site["exact"] or site["deployed"])) is not None
        ]
        if values:
            words.append(f"{name}: from {min(values):.6f} to {max(values):.6f}.")
    return " ".join(words)

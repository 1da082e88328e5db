"""Fisher information along dead directions of the parameters, beside random ones."""

from __future__ import annotations

from reporting import axes as shared
from reporting.palette import BLUE, GREEN, ORANGE
from reporting.records import Record, Records
from reporting.section import Panel, Section
from reporting.sections.common import MODEL_COLUMNS
from reporting.table import Column, Table, count, small, text

MOST_ROWS = 60  # of one panel


def section(records: Records) -> Section | None:
    found = sorted(
        (record for record in records.of("fisher") if not record.data.get("causes")),
        key=lambda record: (record.model.lower(), record.weights, record.file),
    )
    if not found:
        return None
    return Section(
        id="fisher",
        title="Fisher information of parameters, dead against random",
        shows="Directional Fisher information for a token along the predicted dead directions of "
        "the weights that read a norm (the worst of those drawn), beside that of random "
        "directions of the same norm, and of the dead weight directions without the bias or "
        "shift that belongs to them.",
        reading="To the left is less information: a dead direction changes no output, so only "
        "rounding is left. The bar spans the random directions, its mark is their median. A "
        "dead value that is exactly zero stands at the left edge with an arrow. Hollow: "
        "consumers of which nothing is claimed, along directions of the same making.",
        tables=[_totals(found), _table(found)],
        panels=[panel for i, record in enumerate(found) if (panel := _panel(record, i))],
    )


def _totals(found: list[Record]) -> Table:
    columns = [
        *MODEL_COLUMNS,
        count("tokens", "tokens"),
        count("consumers", "consumers"),
        count("dead_directions", "dead directions"),
        small("ratio_max", "largest dead/random"),
        Column("llc_lowering", "learning coefficient lower by", ".1f"),
    ]
    rows = []
    for record in found:
        consumers, totals = record.data["consumers"], record.data["totals"]
        ratios = [c["ratio"] for c in consumers if c["claimed"] and c["ratio"] is not None]
        rows.append(
            [
                record.model,
                record.weights,
                record.data["calibration"]["tokens"],
                len(consumers),
                totals["dead_directions"],
                max(ratios, default=None),
                totals["llc_lowering"],
            ]
        )
    return Table("fisher_totals", "Dead directions of the parameters", columns, rows)


def _table(found: list[Record]) -> Table:
    columns = [
        *MODEL_COLUMNS,
        text("consumer", "consumer"),
        text("site", "norm"),
        count("width", "width"),
        text("claimed", "claimed"),
        count("count", "dead directions"),
        small("fisher_dead", "F dead"),
        small("fisher_weight_only", "weight only"),
        small("fisher_random_median", "F random"),
        small("fisher_random_min", "least"),
        small("fisher_random_max", "largest"),
        small("fisher_ratio", "dead/random"),
        small("kfac_dead", "K-FAC dead"),
        small("kfac_random", "K-FAC random"),
        small("moved_dead", "outputs moved, dead"),
        small("moved_random", "moved, random"),
        text("verdict", "verdict"),
        text("reason", "reason"),
        text("why", "why"),
    ]
    rows = []
    for record in found:
        for c in record.data["consumers"]:
            spread = c["random"] or {}
            rows.append(
                [
                    record.model,
                    record.weights,
                    c["name"],
                    c["site"],
                    c["width"],
                    c["claimed"],
                    c["count"],
                    c["dead"],
                    c["weight_only"],
                    *(spread.get(key) for key in ("median", "min", "max")),
                    c["ratio"],
                    c["kfac"],
                    c["kfac_random"],
                    c["invariance"],
                    c["invariance_random"],
                    c.get("verdict") or None,
                    c.get("reason") or None,
                    c["why"],
                ]
            )
    return Table("fisher", "Consumers of the norms", columns, rows)


def _panel(record: Record, number: int) -> Panel | None:
    measured = [c for c in record.data["consumers"] if c["random"] and c["random"]["median"]]
    if not measured:
        return None
    worst_first = sorted(
        measured, key=lambda c: (not _is_refuted(c), not c["claimed"], -(c["ratio"] or 0))
    )
    shown = [c for c in measured if any(c is kept for kept in worst_first[:MOST_ROWS])]

    def draw(axes) -> None:
        every = [
            value
            for c in shown
            for value in (
                c["dead"],
                c["weight_only"],
                c["random"]["min"],
                c["random"]["max"],
                c["random"]["median"],
            )
        ]
        low, _ = shared.log_axis(axes, "x", every, margin=1.0)
        for row, c in enumerate(shown):
            spread = c["random"]
            axes.plot(
                [spread["min"] or low, spread["max"] or low],
                [row, row],
                "-",
                color=ORANGE,
                linewidth=2.5,
            )
            axes.plot(
                spread["median"],
                row,
                "|",
                color=ORANGE,
                markersize=8,
                markeredgewidth=2,
                label="random",
                linestyle="none",
            )
            if c["weight_only"]:
                axes.plot(
                    c["weight_only"],
                    row,
                    "^",
                    color=GREEN,
                    markerfacecolor="none",
                    label="weight only",
                    linestyle="none",
                )
            if c["dead"] is not None:
                look = (
                    {"markerfacecolor": BLUE, "label": "dead"}
                    if c["claimed"]
                    else {"markerfacecolor": "none", "label": "not claimed"}
                )
                axes.plot(
                    c["dead"] or low,
                    row,
                    "o" if c["dead"] else "<",
                    color=BLUE,
                    linestyle="none",
                    clip_on=False,
                    **look,
                )
        shared.narrow_rows(axes, [c["name"] for c in shown])
        axes.set_xlabel("directional Fisher information for a token")
        shared.legend_above(axes, 3, over_ticks=shared.are_many(shown))

    ratios = [c["ratio"] for c in shown if c["ratio"] is not None]
    spread = f"Dead over random: from {min(ratios):.1e} to {max(ratios):.1e}." if ratios else ""
    more = (
        f" Drawn: the {MOST_ROWS} with the largest ratio, refuted ones first, then claimed ones."
        if len(shown) < len(measured)
        else ""
    )
    refuted = [c["name"] for c in record.data["consumers"] if _is_refuted(c)]
    verdict = f" Refuted: {', '.join(refuted)}." if refuted else ""
    return Panel(
        f"fisher-{number}",
        f"{record.model}, {record.weights}",
        f"Dot plot, {len(measured)} consumers of norms. {spread}{verdict}{more}",
        draw,
        shared.height_of_narrow_rows(len(shown)),
    )


def _is_refuted(consumer: dict) -> bool:
    return consumer.get("verdict") == "refuted"

"""Flat directions of the parameters, cause by cause, and F along their curves."""

from __future__ import annotations

from collections.abc import Iterator

from reporting import axes as shared
from reporting.palette import BLUE, ORANGE
from reporting.records import Record, Records
from reporting.section import Panel, Section
from reporting.sections.common import MODEL_COLUMNS
from reporting.table import Column, Table, count, small, text


def section(records: Records) -> Section | None:
    found = [record for record in records.of("fisher") if record.data.get("causes")]
    if not found:
        return None
    found.sort(key=lambda record: (record.model.lower(), record.weights, record.file))
    panels = [
        panel
        for i, record in enumerate(found)
        for panel in (_causes(record, i), _orders(record, i))
    ]
    return Section(
        id="flat",
        title="Flat directions of parameters, by cause",
        shows="Directional Fisher information for a token along a random member of what each "
        "cause of the census makes flat in each block, beside that of random directions of "
        "the same size.",
        reading="To the left is less information: along a flat direction only rounding is left. "
        "The bar spans the blocks. Along the curve itself F of a gauge stays there at every "
        "t, that of a regular direction is level, and that of a singular one rises from 0.",
        tables=[_table(found)],
        panels=[panel for panel in panels if panel],
    )


def _order_text(order: dict | None) -> str | None:
    if order is None:
        return None
    return order["kind"] + (f" of order {order['k']}" if order["kind"] == "singular" else "")


def _measured(record: Record) -> Iterator[dict]:
    return (c for c in record.data["causes"] if c["random"] and c["random"]["median"])


def _table(found: list[Record]) -> Table:
    columns = [
        *MODEL_COLUMNS,
        text("cause", "cause"),
        text("stack", "stack"),
        Column("block", "block", "d"),
        count("dimension", "flat directions"),
        small("fisher_flat", "F flat"),
        small("fisher_random", "F random"),
        small("fisher_ratio", "flat/random"),
        small("moved_flat", "outputs moved, flat"),
        small("moved_random", "moved, random"),
        text("order", "order"),
        text("order_random", "order, random"),
        text("verdict", "verdict"),
        text("reason", "reason"),
    ]
    rows = [
        [
            record.model,
            record.weights,
            *(c[key] for key in ("cause", "stack", "block", "dimension", "dead")),
            (c["random"] or {}).get("median"),
            *(c[key] for key in ("ratio", "invariance", "invariance_random")),
            _order_text(c["order"]),
            _order_text(c["order_random"]),
            c["verdict"],
            c["reason"],
        ]
        for record in found
        for c in record.data["causes"]
        if c["dimension"]
    ]
    return Table("flat", "Flat directions by cause", columns, rows)


def _causes(record: Record, number: int) -> Panel | None:
    by_cause: dict[str, list[dict]] = {}
    for cause in _measured(record):
        by_cause.setdefault(cause["cause"], []).append(cause)
    if not by_cause:
        return None

    def draw(axes) -> None:
        flat = {name: [c["dead"] for c in of] for name, of in by_cause.items()}
        random = {name: [c["random"]["median"] for c in of] for name, of in by_cause.items()}
        every = [value for of in (flat, random) for values in of.values() for value in values]
        low, _ = shared.log_axis(axes, "x", every, margin=1.0)
        for row, name in enumerate(by_cause):
            for values, colour, label in (
                (flat[name], BLUE, "flat"),
                (random[name], ORANGE, "random"),
            ):
                shown = [value or low for value in values if value is not None]
                if shown:
                    span = [min(shown), max(shown)]
                    axes.plot(span, [row, row], "-", color=colour, linewidth=2.5)
                    axes.plot(shown, [row] * len(shown), "|", color=colour, label=label)
        shared.narrow_rows(axes, list(by_cause))
        axes.set_xlabel("directional Fisher information for a token")
        shared.legend_above(axes, 2)

    ratios = [c["ratio"] for c in _measured(record) if c["ratio"] is not None]
    spread = f" Flat over random: at most {max(ratios):.1e}." if ratios else ""
    return Panel(
        f"flat-{number}",
        f"{record.model}, {record.weights}: causes",
        f"Dot plot, {len(by_cause)} causes over their blocks.{spread}",
        draw,
        shared.height_of_narrow_rows(len(by_cause)),
    )


def _orders(record: Record, number: int) -> Panel | None:
    followed = [c for c in record.data["causes"] if c["order"] and c["order_random"]]
    if not followed:
        return None

    def draw(axes) -> None:
        curves = [(c[key]["samples"], key) for c in followed for key in ("order_random", "order")]
        points = [p for samples, _ in curves for p in samples if p["fisher"] is not None]
        low, _ = shared.log_axis(axes, "y", [point["fisher"] for point in points], margin=1.0)
        shared.log_axis(axes, "x", [abs(point["t"]) for point in points], margin=0.1)
        for samples, key in curves:
            ahead = [p for p in samples if p["t"] > 0 and p["fisher"] is not None]
            axes.plot(
                [point["t"] for point in ahead],
                [max(point["fisher"], low) for point in ahead],
                "-",
                color=BLUE if key == "order" else ORANGE,
                linewidth=1,
                label="flat" if key == "order" else "random",
            )
        axes.set_xlabel("t, in units of the parameters")
        axes.set_ylabel("F along the curve")
        shared.legend_above(axes, 2)

    kinds = sorted({_order_text(c["order"]) for c in followed})
    return Panel(
        f"flat-order-{number}",
        f"{record.model}, {record.weights}: order",
        f"F over t on logarithmic axes, {len(followed)} curves. They are: {', '.join(kinds)}.",
        draw,
    )

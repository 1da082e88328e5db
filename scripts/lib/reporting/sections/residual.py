"""Does the residual stream keep its smallest singular value on its way through the blocks?"""

from __future__ import annotations

from reporting import axes as shared
from reporting.palette import BLUE, INK, ORANGE
from reporting.records import Record, Records
from reporting.section import Panel, Section
from reporting.sections.common import MODEL_COLUMNS
from reporting.table import Table, count, ratio, small, text

LINES = {"random": (ORANGE, "s", "--"), "trained": (BLUE, "o", "-"), "activations": (INK, "^", ":")}


def section(records: Records) -> Section | None:
    chosen = [record for record in records.verify if record.data["residual"]]
    if not chosen:
        return None
    by_model: dict[str, list[Record]] = {}
    for record in chosen:
        by_model.setdefault(records.name(record), []).append(record)
    return Section(
        id="residual",
        title="Smallest singular value of the residual stream",
        shows="σ_min of the stream that enters each block, over σ_min of the first node that is "
        "judged, the embeddings as a rule; preserved when no ratio is below 1.",
        reading="Node 0 is the embeddings, node ℓ the stream after ℓ blocks; the last enters the "
        "final norm. Above the dashed line at 1 the smallest singular value is kept. Nodes "
        "that are a LayerNorm's own output are left out: their smallest singular value is "
        "zero by construction, so they are not judged. Where the first node has fewer "
        "directions than the stream is wide (rank), σ_min is that along those directions.",
        tables=[_table(records, chosen)],
        panels=[
            panel
            for i, (name, group) in enumerate(by_model.items())
            if (panel := _panel(name, group, i))
        ],
    )


def _ratios(residual: dict) -> list[float | None]:
    """One ratio for each node, none for a LayerNorm's own output.

    Records of earlier versions have a number for such an output.
    """
    values = residual["ratio"] or [None] * len(residual["uncentred"])
    return [None if node in residual["excluded"] else value for node, value in enumerate(values)]


def _steps(residual: dict) -> list[float | None]:
    """Over the node before; none in records of earlier versions."""
    return residual.get("steps") or [None] * len(residual["uncentred"])


def _reference(residual: dict) -> int:
    """The node whose σ_min divides."""
    return next(
        (node for node in range(len(residual["uncentred"])) if node not in residual["excluded"]), 0
    )


def _judged(residual: dict) -> list[float]:
    return [value for value in _ratios(residual) if value is not None]


def _table(records: Records, chosen: list[Record]) -> Table:
    columns = [
        *MODEL_COLUMNS,
        count("nodes", "nodes"),
        count("excluded", "not judged"),
        count("rank", "rank"),
        ratio("ratio_min", "smallest ratio"),
        count("at_node", "at node"),
        ratio("ratio_last", "last ratio"),
        text("preserved", "preserved"),
    ]
    rows = []
    for record in chosen:
        residual = record.data["residual"]
        judged, ratios = _judged(residual), _ratios(residual)
        least = min(judged, default=None)
        at = next(
            (node for node, value in enumerate(ratios) if value is not None and value == least),
            None,
        )
        rows.append(
            [
                records.name(record),
                record.weights,
                len(ratios),
                len(residual["excluded"]),
                residual.get("rank"),
                least,
                at,
                judged[-1] if judged else None,
                residual["preserved"],
            ]
        )
    return Table("residual", "Residual stream", columns, rows)


def _panel(name: str, group: list[Record], number: int) -> Panel | None:
    values = [value for record in group for value in _ratios(record.data["residual"]) if value]
    if not values:
        return None

    def draw(axes) -> None:
        nodes = 1
        shared.log_axis(axes, "y", [*values, 1.0], margin=0.15)
        low, high = min(*values, 1.0), max(*values, 1.0)
        if high / low < 300:
            _plain_ticks(axes, low, high)
        for record in group:
            colour, marker, dash = LINES[record.weights]
            ratios = _ratios(record.data["residual"])
            nodes = max(nodes, len(ratios) - 1)
            kept = [(node, value) for node, value in enumerate(ratios) if value]
            axes.plot(
                [node for node, _ in kept],
                [value for _, value in kept],
                marker + dash,
                color=colour,
                markersize=4.5,
                markerfacecolor="none" if record.weights == "random" else colour,
                label=record.weights,
            )
        shared.level(axes, 1.0, "_")
        axes.xaxis.get_major_locator().set_params(integer=True, nbins=8)
        axes.set_xlim(-0.02 * nodes, 1.02 * nodes)
        axes.set_xlabel("node (0: embeddings)")
        axes.set_ylabel(f"σ_min / σ_min of node {_reference(group[0].data['residual'])}")
        shared.legend_above(axes, 3)

    rows = [
        [
            name,
            record.weights,
            node,
            ratio_,
            step,
            *(record.data["residual"][key][node] for key in ("uncentred", "centred")),
            node in record.data["residual"]["excluded"],
        ]
        for record in group
        for node, (ratio_, step) in enumerate(
            zip(_ratios(record.data["residual"]), _steps(record.data["residual"]), strict=True)
        )
    ]
    columns = [
        *MODEL_COLUMNS,
        count("node", "node"),
        ratio("ratio", "ratio"),
        ratio("step", "over the node before"),
        small("uncentred", "σ_min"),
        small("centred", "σ_min centred"),
        text("is_excluded", "not judged"),
    ]
    words = " ".join(_words(record) for record in group)
    return Panel(
        f"residual-{number}",
        name,
        f"Line plot over {len(rows)} nodes. {words}",
        draw,
        2.9,
        Table("residual_nodes", f"residual stream of {name}", columns, rows),
    )


def _words(record: Record) -> str:
    residual = record.data["residual"]
    judged = _judged(residual)
    verdict = {True: "preserved", False: "not preserved", None: "not judged"}[residual["preserved"]]
    return f"{record.weights.capitalize()} weights: {verdict}" + (
        f", ratios from {min(judged):.3g} to {max(judged):.3g}." if judged else "."
    )


def _plain_ticks(axes, low: float, high: float) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter

    steps = [s * 10.0**e for e in range(-6, 7) for s in (1, 1.5, 2, 3, 5, 7)]
    axes.yaxis.set_major_locator(
        FixedLocator([step for step in steps if 0.8 * low <= step <= 1.25 * high])
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))

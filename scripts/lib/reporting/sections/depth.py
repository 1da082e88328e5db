"""How deep the dead direction lies, at random initialisation and after training."""

from __future__ import annotations

from reporting import axes as shared
from reporting.palette import BLUE, INK
from reporting.records import Record, Records
from reporting.section import Panel, Section, in_parts
from reporting.sections.common import of
from reporting.table import Table, ratio, small, text

READINGS = ("exact", "deployed")


def section(records: Records) -> Section | None:
    table = _table(records)
    if not table.rows:
        return None
    panels = [
        _panel(f"depth-{reading}-{i}", f"Depth, {reading} reading{part}", reading, rows)
        for reading in READINGS
        for i, (rows, part) in enumerate(in_parts(_drawn(table, reading)))
    ]
    return Section(
        id="depth",
        title="Depth, random → trained",
        shows="Depth is the variance along the predicted direction over the mean variance of all "
        "directions; deepening is depth at random initialisation over depth after training. "
        "Every LayerNorm that was measured with both kinds of weights, of the same model. "
        "The paper reports a deepening of about 10³; how it defines depth is not known to "
        "deadray.",
        reading="Drawn for the final norms. From the hollow circle (random) to the filled one "
        "(trained): to the left is deeper. The exact reading shows FP64 rounding, the "
        "deployed one that of the model's own dtype: both are floors of arithmetic rather "
        "than properties of the model, and a change between them is to be read with that. "
        "Where training brought some γᵢ near zero, the direction after it is another one: "
        "the span of their coordinates.",
        tables=[table],
        panels=panels,
    )


def _pairs(records: Records) -> list[tuple[str, dict, dict]]:
    """Pairs of sites of equal name, random and trained.

    Where several records share model and weights, the first counts, in order of their files.
    """
    found: dict[str, dict[str, Record]] = {}
    for record in records.verify:
        found.setdefault(record.model, {}).setdefault(record.weights, record)
    pairs = []
    for model, by_weights in found.items():
        if not {"random", "trained"} <= by_weights.keys():
            continue
        trained = by_weights["trained"].data["sites"]
        both = [
            (before, after)
            for before in by_weights["random"].data["sites"]
            for after in trained
            if _is_one_norm(before["name"], after["name"])
        ]
        pairs += [
            (model, before, after)
            for before, after in both
            if before["norm"] == "layernorm" and after["norm"] == "layernorm"
        ]
    return pairs


def _is_one_norm(one: str, other: str) -> bool:
    """Whether two names are of one norm, although a checkpoint may leave out the first part.

    "bert.encoder…" is "encoder…" in the checkpoint of a BERT without a head.
    """
    return one == other or one.endswith(f".{other}") or other.endswith(f".{one}")


def _table(records: Records) -> Table:
    columns = [text("model", "model"), text("norm_name", "norm"), text("final", "final norm")]
    for reading in READINGS:
        columns += [
            small(f"depth_{reading}_random", f"{reading}, random"),
            small(f"depth_{reading}_trained", "trained"),
            ratio(f"deepening_{reading}", "deepening"),
        ]
    rows = []
    for model, before, after in _pairs(records):
        row = [model, after["name"], bool(after.get("final"))]
        for reading in READINGS:
            first, then = of(before[reading], "depth"), of(after[reading], "depth")
            row += [first, then, first / then if first is not None and then else None]
        rows.append(row)
    return Table("depth", "Depth of the dead direction", columns, rows)


def _drawn(table: Table, reading: str) -> list[tuple[str, float, float]]:
    """Name, depth before and after: of the final norms, of all where none is known to be one."""
    columns = [
        table.column(key)
        for key in (
            "model",
            "norm_name",
            "final",
            f"depth_{reading}_random",
            f"depth_{reading}_trained",
        )
    ]
    rows = [row for row in zip(*columns, strict=True) if row[3] and row[4]]
    return [
        (f"{model}: {norm}", first, then)
        for model, norm, is_final, first, then in rows
        if is_final or not any(table.column("final"))
    ]


def _panel(id_: str, title: str, reading: str, rows: list[tuple[str, float, float]]) -> Panel:
    def draw(axes) -> None:
        shared.log_axis(axes, "x", [value for _, first, then in rows for value in (first, then)])
        for row, (_, first, then) in enumerate(rows):
            axes.annotate(
                "",
                (then, row),
                (first, row),
                arrowprops={"arrowstyle": "->", "color": INK, "shrinkA": 4, "shrinkB": 4},
            )
            axes.plot(
                first,
                row,
                "o",
                color=BLUE,
                markerfacecolor="none",
                markersize=8,
                label="random",
                linestyle="none",
            )
            axes.plot(then, row, "o", color=BLUE, label="trained", linestyle="none")
        shared.named_rows(axes, [name for name, _, _ in rows])
        axes.set_xlabel(f"variance along the predicted direction / mean ({reading})")
        shared.legend_above(axes)

    words = " ".join(f"{name}: {first:.1e} to {then:.1e}." for name, first, then in rows)
    return Panel(
        id_,
        title,
        f"From random to trained weights, {len(rows)} norms. {words}",
        draw,
        shared.height_of_rows(len(rows)),
    )

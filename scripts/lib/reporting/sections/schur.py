"""Schur ratio against its null."""

from __future__ import annotations

from reporting import axes as shared
from reporting.palette import FAINT, NORMS
from reporting.records import Record, Records
from reporting.section import Panel, Section, in_parts
from reporting.sections.common import MODEL_COLUMNS, final_site, marker_face
from reporting.table import Column, Table, text


def section(records: Records) -> Section | None:
    table = _table(records)
    if not table.rows:
        return None
    return Section(
        id="schur",
        title="Schur ratio against its null (reconstructed)",
        shows="The share of the variance along 1/γ that the other coordinates explain, at the "
        "final norm's input and output. Reconstructed: the paper names the quantity, its "
        "definition here is deadray's own (1 − s/(vᵀCv), s the Schur complement of v's "
        "coordinate).",
        reading="0 is independence, 1 is complete explanation. The bar marks the null, what "
        "independent coordinates would give with as many tokens: (d−1)/(N−1). Drawn at the "
        "norm's input, filled for trained weights and hollow for random ones; at the output "
        "of a LayerNorm the direction has no variance of its own to explain.",
        tables=[table],
        panels=_panels(records),
    )


def _table(records: Records) -> Table:
    columns = [
        *MODEL_COLUMNS,
        text("norm_name", "norm"),
        *(
            Column(f"schur_{key}", title, ".4f")
            for key, title in (("input", "input"), ("output", "output"), ("null", "null"))
        ),
    ]
    rows = []
    for record in records.verify:
        site = final_site(record)
        if site["schur"]["input"] is not None or site["schur"]["output"] is not None:
            rows.append(
                [
                    records.name(record),
                    record.weights,
                    site["name"],
                    *(site["schur"][key] for key in ("input", "output", "null")),
                ]
            )
    return Table("schur", "Schur ratio at the final norm", columns, rows)


def _panels(records: Records) -> list[Panel]:
    shown = [
        (records.name(record), record, site)
        for record in records.verify
        if (site := final_site(record))["schur"]["input"] is not None
    ]
    parts = in_parts(list(dict.fromkeys(name for name, _, _ in shown)))
    return [
        _panel(f"schur-{i}", part, names, [one for one in shown if one[0] in names])
        for i, (names, part) in enumerate(parts)
    ]


def _panel(id_: str, part: str, names: list[str], shown: list[tuple[str, Record, dict]]) -> Panel:
    def draw(axes) -> None:
        for name, record, site in shown:
            row, (colour, marker, kind) = names.index(name), NORMS[site["norm"]]
            axes.plot(
                site["schur"]["input"],
                row,
                marker,
                color=colour,
                markerfacecolor=marker_face(record, colour),
                markersize=8 if record.weights == "random" else 6,
                label=f"{kind}, {record.weights}",
                clip_on=False,
                linestyle="none",
            )
        for name, null in (
            (name, site["schur"]["null"])
            for name, _, site in shown
            if site["schur"]["null"] is not None
        ):
            axes.plot(
                null,
                names.index(name),
                "|",
                color=FAINT,
                markersize=11,
                markeredgewidth=1.5,
                label="null",
                linestyle="none",
            )
        shared.named_rows(axes, names)
        axes.set_xlim(0, 1)
        axes.set_xlabel("Schur ratio at the norm's input (reconstructed)")
        shared.legend_above(axes)

    words = " ".join(
        (
            f"{name}, {record.weights}: {site['schur']['input']:.3f}, null "
            f"{site['schur']['null'] or 0:.3f}."
        )
        for name, record, site in shown
    )
    return Panel(
        id_,
        f"Schur ratio by model{part}",
        f"Dot plot. {words}",
        draw,
        shared.height_of_rows(len(names)) + 0.3,
    )

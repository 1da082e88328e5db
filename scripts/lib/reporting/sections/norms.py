"""Every norm of a model at once: a heat map of dead dimension, floor and range of the scales."""

from __future__ import annotations

import math

from reporting import axes as shared
from reporting.palette import NORMS, ink_on
from reporting.records import Record, Records
from reporting.section import Panel, Section
from reporting.sections.common import MODEL_COLUMNS, inherited, least_cosine, of
from reporting.table import Table, cosine, count, ratio, small, text

# Heading, value of a site, how it is written, whether its colours go by powers of ten.
COLUMNS = (
    ("dead\npredicted", lambda site: site["predicted"]["dimension"], "d", False),
    ("dead\nmeasured", lambda site: of(_decisive(site), "dimension"), "d", False),
    ("variance\nleft", lambda site: of(site["deployed"] or site["exact"], "lambda_v"), ".0e", True),
    ("rounding\nfloor", lambda site: of(site["deployed"] or site["exact"], "floor"), ".0e", True),
    ("least\n|γ|", lambda site: (site.get("gamma") or {}).get("min"), ".1g", True),
    ("largest\n|γ|", lambda site: (site.get("gamma") or {}).get("max"), ".1g", True),
)


def _decisive(site: dict) -> dict | None:
    return site["exact"] or site["deployed"]


def section(records: Records) -> Section | None:
    many = [record for record in records.verify if len(record.data["sites"]) > 1]
    if not records.verify:
        return None
    return Section(
        id="norms",
        title="Every norm that was measured",
        shows=(
            "One row for each norm: predicted dead dimension, null directions inherited from the "
            "norm's input, measured dead dimension, agreement, the "
            "variance that is left along the predicted direction (along 1/γ where none is "
            "predicted), the floor, the range of |γ|, and the verdict."
        )
        + ("" if many else " Models measured with --site all are also drawn."),
        reading="One row for each norm in order of evaluation, one column for each quantity, its "
        "number in the cell; each column has its own scale from dark (least) to bright "
        "(largest), by powers of ten except for the dimensions, over at least one power; "
        "grey is the middle. Variance left and floor are those of the deployed reading.",
        tables=[_table(records)],
        panels=[_panel(record, records.name(record), i) for i, record in enumerate(many)],
        opened=False,
    )


def _table(records: Records) -> Table:
    columns = [
        *MODEL_COLUMNS,
        text("norm_name", "norm"),
        text("norm", "kind"),
        count("hidden_size", "d"),
        count("predicted_dimension", "dead, predicted"),
        count("inherited", "inherited"),
        count("measured_dimension", "measured"),
        cosine("abs_cos_exact", "|cos| exact"),
        cosine("abs_cos_deployed", "|cos| deployed"),
        small("lambda_v_exact", "variance exact"),
        small("lambda_v_deployed", "variance deployed"),
        small("floor_deployed", "floor deployed"),
        small("next", "next"),
        ratio("gamma_min", "least |γ|"),
        ratio("gamma_max", "largest |γ|"),
        text("verdict", "verdict"),
        text("reason", "reason"),
    ]
    rows = []
    for record in records.verify:
        for site in record.data["sites"]:
            gamma, decisive = site.get("gamma") or {}, _decisive(site)
            rows.append(
                [
                    records.name(record),
                    record.weights,
                    site["name"],
                    NORMS[site["norm"]][2],
                    site["hidden_size"],
                    site["predicted"]["dimension"],
                    inherited(site),
                    of(decisive, "dimension"),
                    least_cosine(site["exact"]),
                    least_cosine(site["deployed"]),
                    of(site["exact"], "lambda_v"),
                    of(site["deployed"], "lambda_v"),
                    of(site["deployed"], "floor"),
                    decisive["eigenvalues"]["next"] if decisive else None,
                    gamma.get("min"),
                    gamma.get("max"),
                    site["verdict"],
                    site["reason"],
                ]
            )
    return Table("norms", "All norms", columns, rows)


def _panel(record: Record, name: str, number: int) -> Panel:
    sites = record.data["sites"]
    labels = shared.short_names([site["name"] for site in sites])
    values = [[value(site) for _, value, _, _ in COLUMNS] for site in sites]
    shades = [
        _shades([row[i] for row in values], by_powers)
        for i, (_, _, _, by_powers) in enumerate(COLUMNS)
    ]

    def draw(axes) -> None:
        from matplotlib import colormaps
        from matplotlib.colors import to_hex
        from matplotlib.patches import Rectangle

        colours = colormaps["cividis"]
        for row, cells in enumerate(values):
            for column, value in enumerate(cells):
                shade = shades[column][row]
                if shade is None:
                    axes.text(column, row, "–", ha="center", va="center", fontsize=7.5)
                    continue
                fill = to_hex(colours(shade))
                axes.add_patch(
                    Rectangle(
                        (column - 0.49, row - 0.47), 0.98, 0.94, facecolor=fill, edgecolor="none"
                    )
                )
                axes.text(
                    column,
                    row,
                    _compact(format(value, COLUMNS[column][2])),
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    color=ink_on(fill),
                )
        axes.set_xlim(-0.5, len(COLUMNS) - 0.5)
        axes.set_ylim(len(sites) - 0.5, -0.5)
        axes.set_xticks(range(len(COLUMNS)), [title for title, _, _, _ in COLUMNS], fontsize=7)
        axes.set_yticks(range(len(sites)), labels, fontsize=7.5)
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)

    predicted, measured = (sum(row[i] or 0 for row in values) for i in (0, 1))
    words = (
        f"{len(sites)} norms, d = {sites[-1]['hidden_size']}. Predicted dead dimensions in all "
        f"{predicted}, measured {measured}."
    )
    return Panel(
        f"norms-{number}",
        f"{name}, {record.weights}",
        f"Heat map of {words}",
        draw,
        0.6 + 0.21 * len(sites),
    )


def _shades(values: list, by_powers: bool) -> list[float | None]:
    """Where each value lies in its column, between 0 and 1. A zero stands at the dark end.

    The column spans at least one (power of ten, or dimension): small differences shall look small.
    """
    scaled = [
        None
        if value is None
        else (math.log10(value) if value > 0 else -math.inf)
        if by_powers
        else value
        for value in values
    ]
    finite = [value for value in scaled if value is not None and math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0, 0)
    if high - low < 1:
        low, high = (low + high - 1) / 2, (low + high + 1) / 2
    return [None if value is None else max(0.0, (value - low) / (high - low)) for value in scaled]


def _compact(number: str) -> str:
    """1e-05 as 1e-5."""
    mantissa, e, exponent = number.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else number

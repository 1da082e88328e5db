"""Spectrum of the covariance at the final norm, with predicted direction and rounding floor."""

from __future__ import annotations

from reporting import axes as shared
from reporting.palette import BLUE, INK, ORANGE, PAPER
from reporting.records import Record, Records
from reporting.section import Panel, Section
from reporting.sections.common import MODEL_COLUMNS, final_site
from reporting.table import Table, count, ratio, small, text

READINGS = {"exact": (BLUE, "o", "--"), "deployed": (ORANGE, "s", ":")}


def section(records: Records) -> Section | None:
    table = _table(records)
    if not table.rows:
        return None
    panels = [
        _panel(record, records.name(record), i)
        for i, record in enumerate(records.verify)
        if final_site(record).get("spectrum")
    ]
    missing = (
        ""
        if panels
        else (
            " No record here holds a spectrum to draw: those of --method certificate and "
            "directional have none, nor have earlier versions'."
        )
    )
    return Section(
        id="spectrum",
        title="Spectrum at the final norm",
        shows=(
            "Eigenvalues of the covariance of the final norm's output, the variance along the "
            "predicted direction, and the floor below which a computed eigenvalue is rounding."
        )
        + missing,
        reading="Eigenvalues ascend from left to right; both axes are logarithmic. The star is the "
        "variance along the predicted direction (filled: exact, hollow: deployed), each "
        "token projected first, which resolves far below what an eigendecomposition can. A "
        "dead direction is a lowest eigenvalue below the dashed floor, with a gap of many "
        "powers of ten to the next. Eigenvalues that rounding made negative are drawn at "
        "their absolute value, as crosses.",
        tables=[table],
        panels=panels,
    )


def _table(records: Records) -> Table:
    columns = [
        *MODEL_COLUMNS,
        text("norm_name", "norm"),
        text("reading", "reading"),
        small("lambda_v", "variance along predicted"),
        small("first", "λ₁"),
        small("second", "λ₂"),
        small("next", "next after predicted"),
        small("mean", "mean"),
        small("last", "λ_d"),
        small("floor", "floor"),
        ratio("gap", "gap"),
    ]
    rows = []
    for record in records.verify:
        site = final_site(record)
        for name in READINGS:
            if reading := site[name]:
                values = reading["eigenvalues"]
                rows.append(
                    [
                        records.name(record),
                        record.weights,
                        site["name"],
                        name,
                        reading["lambda_v"],
                        *(values[key] for key in ("first", "second", "next", "mean", "last")),
                        reading["floor"],
                        reading["gap"],
                    ]
                )
    return Table("spectra", "Ends of the spectrum", columns, rows)


def _panel(record: Record, name: str, number: int) -> Panel:
    site = final_site(record)
    spectrum, d = site["spectrum"], site["hidden_size"]
    given = {key: spectrum[key] for key in READINGS if spectrum[key] and site[key]}
    positions = [index + 1 for index in spectrum["index"]]

    def draw(axes) -> None:
        shown = [abs(value) for values in given.values() for value in values if value]
        shown += [
            site[key][which]
            for key in given
            for which in ("lambda_v", "floor")
            if which == "floor" or site["predicted"]["dimension"]
        ]
        shared.log_axis(axes, "y", shown)
        for key, values in given.items():
            colour, marker, dash = READINGS[key]
            points = [(at, value) for at, value in zip(positions, values, strict=True) if value]
            for sign, shape in ((1, marker), (-1, "x")):
                chosen = [(at, abs(value)) for at, value in points if value * sign > 0]
                axes.plot(
                    [at for at, _ in chosen],
                    [value for _, value in chosen],
                    shape,
                    color=colour,
                    markersize=6 if key == "deployed" else 3.5,
                    markerfacecolor=colour if key == "exact" else "none",
                    label=key if sign > 0 else "_",
                    linestyle="none",
                )
            if floor := site[key]["floor"]:
                shared.level(axes, floor, f"floor, {key}", dash)
            if (value := site[key]["lambda_v"]) and site["predicted"]["dimension"]:
                # one within the other where they are equal
                face, edge, size, order = (
                    (colour, INK, 9, 6) if key == "exact" else (PAPER, colour, 15, 5)
                )
                axes.plot(
                    1,
                    value,
                    "*",
                    markersize=size,
                    mfc=face,
                    mec=edge,
                    label=f"predicted, {key}",
                    zorder=order,
                    linestyle="none",
                )
        ticks = [1, 3, 10, 30, 100, 300, 1000, 3000, 10000]
        shared.count_axis(axes, [tick for tick in ticks if tick < 0.7 * d] + [d])
        axes.set_xlim(0.8, d * 1.25)
        axes.set_xlabel(f"eigenvalue, 1 to {d}")
        axes.set_ylabel("variance")
        shared.legend_above(axes, 3 if len(given) == 2 else 2)

    words = " ".join(_words(key, site[key], site["predicted"]["dimension"]) for key in given)
    rows = [
        [
            name,
            record.weights,
            index,
            *(spectrum[key][i] if spectrum[key] else None for key in READINGS),
        ]
        for i, index in enumerate(spectrum["index"])
    ]
    data = Table(
        "spectrum_points",
        f"eigenvalues of {name}, {record.weights}",
        [
            *MODEL_COLUMNS,
            count("index", "index from 0"),
            small("exact", "exact"),
            small("deployed", "deployed"),
        ],
        rows,
    )
    return Panel(
        f"spectrum-{number}",
        f"{name}, {record.weights}: {site['name']}",
        f"Eigenvalues of the covariance, {d} dimensions. {words}",
        draw,
        3.4,
        data,
    )


def _words(key: str, reading: dict, predicted: int) -> str:
    def number(value: float | None) -> str:
        return "not measured" if value is None else f"{value:.1e}"

    values = reading["eigenvalues"]
    along = (
        f"variance along the predicted direction {number(reading['lambda_v'])}, "
        if predicted
        else "none predicted, "
    )
    ends = (
        f"lowest eigenvalue {number(values['first'])}, next {number(values['next'])}, largest "
        f"{number(values['last'])}"
    )
    return f"{key.capitalize()}: {along}{ends}, floor {number(reading['floor'])}."

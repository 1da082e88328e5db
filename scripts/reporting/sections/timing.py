"""What prediction and measurement cost, against the dimension."""

from __future__ import annotations

from reporting import axes as shared
from reporting.palette import SERIES
from reporting.records import Records
from reporting.section import Panel, Section
from reporting.table import Column, Table, count, ratio, small, text


def section(records: Records) -> Section | None:
    rows, fits, predictor = _rows(records), _fits(records), _predictor(records)
    if not rows.rows and not predictor.rows:
        return None
    panels = [panel for panel in (_measured(rows, fits), _predicted(predictor)) if panel]
    return Section(
        id="timing", title="Time against dimension",
        shows="Seconds that prediction and the ways of measuring take, by the number of dimensions d. Devices that were not measured are absent.",
        reading="Both axes are logarithmic: a straight line is a power of d, its slope the exponent. Marks are medians, bars the least and largest where the record has them, "
        "thin lines the fits.",
        tables=[table for table in (rows, fits, predictor) if table.rows], panels=panels)  # fmt: skip


def _rows(records: Records) -> Table:
    columns = [text("method", "method"), text("device", "device"), count("d", "d"), small("seconds", "seconds (median)"), small("seconds_min", "least"),
               small("seconds_max", "largest"), count("repetitions", "repetitions"), text("peer", "peer"), text("model", "model"), text("file", "record")]  # fmt: skip
    rows = [[row["method"], row.get("device") or record.data["environment"].get("device") or "cpu", row["d"], row["seconds"], row.get("min"), row.get("max"),
             row["repetitions"], row.get("peer"), row.get("model"), record.file] for record in records.of("timing") for row in record.data["rows"]]  # fmt: skip
    return Table("timing", "Times", columns, rows).without_empty_columns()


def _fits(records: Records) -> Table:
    columns = [text("method", "method"), text("device", "device"), ratio("exponent", "exponent"), small("coefficient", "seconds at d = 1"), text("file", "record")]
    rows = [[fit["method"], fit.get("device") or "cpu", fit["exponent"], fit["coefficient"], record.file] for record in records.of("timing")
            for fit in record.data.get("fits") or []]  # fmt: skip
    return Table("timing_fits", "Fits: seconds = coefficient · d^exponent", columns, rows)


def _predictor(records: Records) -> Table:
    columns = [count("hidden_size", "d"), small("predict", "predict, seconds"), small("copy", "copy of γ, seconds"), Column("predict_over_copy", "ratio", ".2f"),
               text("file", "record")]  # fmt: skip
    rows = [[row["hidden_size"], row["predict"], row["copy"], row["predict"] / row["copy"] if row["copy"] else None, record.file]
            for record in records.of("bench-predict") for row in record.data["warm"]]  # fmt: skip
    return Table("predictor", "The predictor alone, warm, beside a copy of its γ", columns, rows)


def _series(table: Table) -> dict[str, list[tuple[int, float, float, float]]]:
    """(d, median, least, largest) of each method on each device, by what to call it."""
    columns = {column.key: i for i, column in enumerate(table.columns)}
    devices = {row[columns["device"]] for row in table.rows}
    series: dict[str, list[tuple[int, float, float, float]]] = {}
    for row in table.rows:
        def get(key: str, row: list = row):
            return row[columns[key]] if key in columns else None

        parts = [get("method"), get("peer"), get("model"), get("device") if len(devices) > 1 else None]
        seconds = get("seconds")
        series.setdefault(", ".join(part for part in parts if part), []).append((get("d"), seconds, get("seconds_min") or seconds, get("seconds_max") or seconds))
    return {name: sorted(points) for name, points in series.items()}


def _measured(table: Table, fits: Table) -> Panel | None:
    if not table.rows:
        return None
    series, dims = _series(table), sorted(set(table.column("d")))
    devices = set(table.column("device"))

    def draw(axes) -> None:
        shared.log_axis(axes, "y", [value for points in series.values() for point in points for value in point[1:]])
        shared.count_axis(axes, _spread(dims))
        axes.set_xlim(dims[0] * 0.8, dims[-1] * 1.25)
        for i, (name, points) in enumerate(series.items()):
            colour, marker, dash = SERIES[i % len(SERIES)]
            errors = [[max(0.0, p[1] - p[2]) for p in points], [max(0.0, p[3] - p[1]) for p in points]]
            axes.errorbar([p[0] for p in points], [p[1] for p in points], yerr=errors if any(map(any, errors)) else None, fmt=marker + dash, color=colour, markersize=5,
                          markerfacecolor=colour if i < len(SERIES) else "none", linewidth=1.2, elinewidth=1, label=name)  # fmt: skip
        for method, device, exponent, coefficient, _ in fits.rows:
            names = list(series)
            name = ", ".join([method, device] if len(devices) > 1 else [method])
            if name in names and exponent is not None and coefficient:
                axes.plot(dims, [coefficient * d**exponent for d in dims], "-", linewidth=0.6, color=SERIES[names.index(name) % len(SERIES)][0])
        axes.set_xlabel("d")
        axes.set_ylabel("seconds")
        shared.legend_above(axes)

    words = " ".join(f"{name}: from {points[0][1]:.1e} s at d = {points[0][0]} to {points[-1][1]:.1e} s at d = {points[-1][0]}." for name, points in series.items())
    device = f" ({devices.copy().pop()})" if len(devices) == 1 else ""
    return Panel("timing-measured", f"Time against d{device}", f"Line plot on logarithmic axes. {words}", draw, 3.4 + 0.16 * len(series))


def _predicted(table: Table) -> Panel | None:
    if not table.rows:
        return None
    rows = sorted(zip(table.column("hidden_size"), table.column("predict"), table.column("copy"), strict=True))
    dims = [row[0] for row in rows]

    def draw(axes) -> None:
        shared.log_axis(axes, "y", [value for row in rows for value in row[1:]])
        shared.count_axis(axes, _spread(sorted(set(dims))))
        axes.set_xlim(dims[0] * 0.8, dims[-1] * 1.25)
        for at, name in ((1, "predict"), (2, "copy of γ")):
            colour, marker, dash = SERIES[at - 1]
            axes.plot(dims, [row[at] for row in rows], marker + dash, color=colour, label=name, markersize=5)
        axes.set_xlabel("d")
        axes.set_ylabel("seconds, best of many")
        shared.legend_above(axes)

    words = f"Line plot on logarithmic axes. Predicting takes {rows[0][1]:.1e} s at d = {dims[0]} and {rows[-1][1]:.1e} s at d = {dims[-1]}."
    return Panel("timing-predictor", "The predictor alone, beside a copy of its γ", words, draw, 3.0)


def _spread(dims: list[int]) -> list[int]:
    """Those of the dimensions that have room for their number on the axis."""
    kept = dims[:1]
    for d in dims[1:]:
        if d >= 1.6 * kept[-1]:
            kept.append(d)
    return kept

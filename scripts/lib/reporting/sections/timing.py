"""What prediction and the ways of measuring cost, against the dimension.

deadray's own ways on each device, and its peers method by method.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from reporting import axes as shared
from reporting.palette import SERIES
from reporting.records import Records
from reporting.section import Panel, Section
from reporting.table import Column, Table, count, ratio, small, text

OURS = "deadray"


@dataclass
class Series:
    """Times of one method, by one program, on one device.

    (d, median, least, largest), ascending in d
    """

    method: str
    program: str
    device: str
    synthetic: list[tuple[int, float, float, float]] = field(default_factory=list)
    models: list[tuple[int, float, float, float]] = field(default_factory=list)
    fit: tuple[float, float] | None = None  # coefficient and exponent

    @property
    def points(self) -> list[tuple[int, float, float, float]]:
        return sorted(self.synthetic + self.models)


def section(records: Records) -> Section | None:
    tables = [_rows(records), _fits(records), _skipped(records), _predictor(records)]
    series = _series(records)
    if not series and not tables[-1].rows:
        return None
    devices = list(dict.fromkeys(one.device for one in series))
    compared = [
        method
        for method in dict.fromkeys(one.method for one in series)
        if len({one.program for one in series if one.method == method}) > 1
    ]
    panels = [
        _panel(
            f"timing-device-{i}",
            f"deadray on {device}",
            [(one, one.method) for one in series if one.device == device and one.program == OURS],
        )
        for i, device in enumerate(devices)
        if any(one.device == device and one.program == OURS for one in series)
    ]
    panels += [
        _panel(
            f"timing-peers-{i}",
            f"{method}: deadray and others",
            [(one, _with_device(one, devices)) for one in series if one.method == method],
        )
        for i, method in enumerate(compared)
    ]
    return Section(
        id="timing",
        title="Time against dimension",
        shows="Seconds that prediction and the ways of measuring take, by the number of dimensions "
        "d. Devices that were not measured are absent.",
        reading="Both axes are logarithmic: a straight line is a power of d, and its slope the "
        "exponent, which the legend gives where the record has a fit. Marks are medians, "
        "with bars from the least to the largest; lines are the fits, or join the marks "
        "where there is none. Hollow marks without a line: rows of a model, not synthetic "
        "ones. Where the table says busy, other programs took more than a tenth of the "
        "processors' time, or threads waited for more than a tenth of theirs: the reading is an "
        "upper bound.",
        tables=[table for table in tables if table.rows],
        panels=panels + [panel for panel in [_predicted(tables[-1])] if panel],
    )


def _device(record, row: dict) -> str:
    return row.get("device") or record.data["environment"].get("device") or "cpu"


def _series(records: Records) -> list[Series]:
    found: dict[tuple[str, str, str], Series] = {}

    def of(record, row: dict) -> Series:
        key = (row["method"], row.get("peer") or OURS, _device(record, row))
        return found.setdefault(key, Series(*key))

    for record in records.of("timing"):
        for row in record.data["rows"]:
            one, seconds = of(record, row), row["seconds"]
            (one.models if row.get("model") else one.synthetic).append(
                (row["d"], seconds, row.get("min") or seconds, row.get("max") or seconds)
            )
        for fit in record.data.get("fits") or []:
            if fit["exponent"] is not None and fit["coefficient"]:
                of(record, fit).fit = (fit["coefficient"], fit["exponent"])
    for one in found.values():
        one.synthetic.sort()
        one.models.sort()
    return [one for one in found.values() if one.points]


def _with_device(series: Series, devices: list[str]) -> str:
    return f"{series.program}, {series.device}" if len(devices) > 1 else series.program


def _panel(id_: str, title: str, named: list[tuple[Series, str]]) -> Panel:
    dims = sorted({point[0] for one, _ in named for point in one.points})

    def draw(axes) -> None:
        shared.log_axis(
            axes, "y", [value for one, _ in named for point in one.points for value in point[1:]]
        )
        _dimensions(axes, dims)
        for i, (one, name) in enumerate(named):
            colour, marker, dash = SERIES[i % len(SERIES)]
            label = shared.shortened(name, 40) + (f" ∝ d^{one.fit[1]:.2f}" if one.fit else "")
            for points, face in ((one.synthetic, colour), (one.models, "none")):
                if points:
                    errors = [
                        [max(0.0, p[1] - p[2]) for p in points],
                        [max(0.0, p[3] - p[1]) for p in points],
                    ]
                    line = dash if face == colour and not one.fit else "none"
                    axes.errorbar(
                        [p[0] for p in points],
                        [p[1] for p in points],
                        yerr=errors if any(map(any, errors)) else None,
                        marker=marker,
                        linestyle=line,
                        color=colour,
                        markersize=5,
                        markerfacecolor=face,
                        linewidth=1.2,
                        elinewidth=1,
                        label=label,
                    )
            if one.fit and one.synthetic:
                ends = [one.synthetic[0][0], one.synthetic[-1][0]]
                axes.plot(
                    ends,
                    [one.fit[0] * d ** one.fit[1] for d in ends],
                    dash,
                    color=colour,
                    linewidth=1,
                )
        axes.set_ylabel("seconds")
        shared.legend_above(axes)

    words = " ".join(f"{name}: {_span(one.points)}." for one, name in named)
    return Panel(
        id_, title, f"Line plot on logarithmic axes. {words}", draw, 2.8 + 0.09 * len(named)
    )


def _span(points: list[tuple[int, float, float, float]]) -> str:
    first, last = points[0], points[-1]
    return f"{first[1]:.1e} s at d = {first[0]}" + (
        f", {last[1]:.1e} s at d = {last[0]}" if len(points) > 1 else ""
    )


def _predicted(table: Table) -> Panel | None:
    if not table.rows:
        return None
    rows = sorted(
        zip(table.column("hidden_size"), table.column("predict"), table.column("copy"), strict=True)
    )
    dims = [row[0] for row in rows]

    def draw(axes) -> None:
        shared.log_axis(axes, "y", [value for row in rows for value in row[1:]])
        _dimensions(axes, sorted(set(dims)))
        for at, name in ((1, "predict"), (2, "copy of γ")):
            colour, marker, dash = SERIES[at - 1]
            axes.plot(
                dims,
                [row[at] for row in rows],
                marker + dash,
                color=colour,
                label=name,
                markersize=5,
            )
        axes.set_ylabel("seconds, best of many")
        shared.legend_above(axes)

    words = (
        f"Line plot on logarithmic axes. Predicting takes {rows[0][1]:.1e} s at d = {dims[0]} and "
        f"{rows[-1][1]:.1e} s at d = {dims[-1]}."
    )
    return Panel(
        "timing-predictor", "The predictor alone, beside a copy of its γ", words, draw, 3.0
    )


def _dimensions(axes, dims: list[int]) -> None:
    """Ticks at the dimensions themselves, as far as their numbers have room."""
    kept = dims[:1]
    for d in dims[1:]:
        if d >= kept[-1] * max(1.3, (dims[-1] / dims[0]) ** (1 / 8)):
            kept.append(d)
    shared.count_axis(axes, kept)
    axes.set_xlim(dims[0] * 0.8, dims[-1] * 1.25)
    axes.set_xlabel("d")


WHAT = [text("method", "method"), text("peer", "program"), text("device", "device")]


def _what(record, row: dict) -> list:
    return [row["method"], row.get("peer") or OURS, _device(record, row)]


def _rows(records: Records) -> Table:
    columns = [
        *WHAT,
        count("d", "d"),
        small("seconds", "seconds (median)"),
        small("seconds_min", "least"),
        small("seconds_max", "largest"),
        count("repetitions", "repetitions"),
        text("machine", "machine"),
        text("model", "model"),
        text("program_version", "version"),
        text("file", "record"),
    ]
    rows = [
        [
            *_what(record, row),
            row["d"],
            row["seconds"],
            row.get("min"),
            row.get("max"),
            row["repetitions"],
            "busy" if (row.get("load") or {}).get("busy") else None,
            row.get("model"),
            row.get("version"),
            record.file,
        ]
        for record in records.of("timing")
        for row in record.data["rows"]
    ]
    return Table("timing", "Times", columns, rows).without_empty_columns()


def _fits(records: Records) -> Table:
    columns = [
        *WHAT,
        ratio("exponent", "exponent"),
        small("coefficient", "coefficient"),
        text("file", "record"),
    ]
    rows = [
        [*_what(record, fit), fit["exponent"], fit["coefficient"], record.file]
        for record in records.of("timing")
        for fit in record.data.get("fits") or []
    ]
    return Table("timing_fits", "Fits: seconds = coefficient · d^exponent", columns, rows)


def _skipped(records: Records) -> Table:
    columns = [
        *WHAT,
        count("d", "d"),
        text("model", "model"),
        text("reason", "reason"),
        text("file", "record"),
    ]
    rows = [
        [*_what(record, row), row["d"], row.get("model"), row["reason"], record.file]
        for record in records.of("timing")
        for row in record.data.get("skipped") or []
    ]
    return Table("timing_skipped", "Not timed", columns, rows)


def _predictor(records: Records) -> Table:
    columns = [
        count("hidden_size", "d"),
        small("predict", "predict, seconds"),
        small("copy", "copy of γ, seconds"),
        Column("predict_over_copy", "ratio", ".2f"),
        text("file", "record"),
    ]
    rows = [
        [row["hidden_size"], row["predict"], row["copy"], row["predict"] / row["copy"], record.file]
        for record in records.of("bench-predict")
        for row in record.data["warm"]
    ]
    return Table("predictor", "The predictor alone, warm, beside a copy of its γ", columns, rows)

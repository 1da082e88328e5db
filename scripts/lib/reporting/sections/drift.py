"""Several models beside the first: how far training moves the dead directions and the scales."""

from __future__ import annotations

from reporting.palette import NORMS
from reporting.records import Record, Records
from reporting.section import Section
from reporting.sections.drift_figures import norms_of, panels_of
from reporting.table import Table, cosine, count, ratio, small, text


def section(records: Records) -> Section | None:
    chosen = records.of("predict-several")
    if not chosen:
        return None
    return Section(
        id="drift",
        title="Drift of the predicted directions",
        shows="Several models, each beside the first one: |cos| of their predicted dead "
        "directions, and the change of γ relative to the first, for norms of one name, kind and "
        "width. The direction is 1/γ to unit length; where γ is practically zero the spans of "
        "those coordinates are compared, by their largest principal angle.",
        reading="Checkpoints of one run stand at their numbers, other models are drawn over the "
        "norms in order of evaluation. 1 − |cos| shows what |cos| hides near 1; no change at all "
        "is not on its axis. The thick line is the final norm. The others are coloured by thirds "
        "of their order: single lines, or where there are many the median with the range. An "
        "RMSNorm predicts no direction: its γ alone is compared.",
        tables=[_table(chosen)],
        panels=[
            panel
            for i, record in enumerate(chosen)
            for panel in panels_of(record, i, _points(record))
        ],
    )


def _table(chosen: list[Record]) -> Table:
    columns = [
        text("file", "record"),
        text("norm_name", "norm"),
        text("norm", "kind"),
        text("final", "final norm"),
        count("hidden_size", "d"),
        count("models", "models"),
        cosine("abs_cos_min", "least |cos|"),
        small("one_minus_abs_cos_max", "1 − |cos|"),
        text("at_model", "at"),
        cosine("abs_cos_last", "last |cos|"),
        small("gamma_change_last", "last change of γ"),
        ratio("gamma_min", "least |γ|"),
        count("dimension_first", "dead, first"),
        count("dimension_last", "dead, last"),
    ]
    rows = []
    for record in chosen:
        labels = record.data["labels"]
        for norm in norms_of(record):
            last = norm.pairs.get(len(labels) - 1) or {}
            far = max(
                (model for model, pair in norm.pairs.items() if pair["abs_cos"] is not None),
                key=lambda model: norm.pairs[model]["one_minus_abs_cos"],
                default=None,
            )
            farthest = {} if far is None else norm.pairs[far]
            some = next(iter(norm.pairs.values()))
            rows.append(
                [
                    record.file,
                    norm.name,
                    NORMS[norm.kind][2],
                    norm.is_final,
                    norm.hidden_size,
                    1 + len(norm.pairs),
                    farthest.get("abs_cos"),
                    farthest.get("one_minus_abs_cos"),
                    labels[far] if farthest.get("one_minus_abs_cos") else None,
                    last.get("abs_cos"),
                    last.get("gamma_change"),
                    min(least for pair in norm.pairs.values() for least in pair["gamma_min"]),
                    some["dimension"][0],
                    last["dimension"][1] if last else None,
                ]
            )
    return Table("drift", "Each norm over the models", columns, rows)


def _points(record: Record) -> Table:
    columns = [
        text("file", "record"),
        text("model", "model"),
        count("step", "number"),
        text("norm_name", "norm"),
        cosine("abs_cos", "|cos|"),
        small("one_minus_abs_cos", "1 − |cos|"),
        small("angle", "angle"),
        small("gamma_change", "change of γ"),
        ratio("gamma_min", "least |γ|"),
        count("dimension", "dead"),
    ]
    steps = record.data["steps"]
    rows = [
        [
            record.file,
            record.data["labels"][pair["model"]],
            steps[pair["model"]] if steps else None,
            norm["name"],
            *(norm[key] for key in ("abs_cos", "one_minus_abs_cos", "angle", "gamma_change")),
            norm["gamma_min"][1],
            norm["dimension"][1],
        ]
        for pair in record.data["pairs"]
        for norm in pair["norms"]
    ]
    return Table("drift_points", "each norm of each model beside the first", columns, rows)

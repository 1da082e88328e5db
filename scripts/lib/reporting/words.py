"""Sentences that the forms of a report share."""

from __future__ import annotations

from reporting.records import Records
from reporting.section import MOST_PANELS, Section

TITLE = "deadray: dead directions, predicted and measured"
HONESTY = (
    "All figures come from these records, made by runs of deadray; what was not measured is "
    "absent. Rosters are deadray's own choice of models: the paper's list (arXiv 2606.19491) is "
    "not public beyond its range. “Reconstructed” marks quantities whose definition is deadray's "
    "own."
)
KINDS = {
    "verify": ("measurement of a model", "measurements of models"),
    "predict-several": ("comparison of models", "comparisons of models"),
    "fisher": ("Fisher measurement", "Fisher measurements"),
    "suite": ("suite", "suites"),
    "timing": ("timing", "timings"),
    "bench-predict": ("timing of the predictor", "timings of the predictor"),
}


def count_of_records(records: Records) -> str:
    parts = [
        f"{len(found)} {KINDS[kind][len(found) > 1]}"
        for kind, found in records.by_kind.items()
        if found
    ]
    return f"Records: {', '.join(parts)}."


def left_out(section: Section) -> str:
    return (
        f"The first {MOST_PANELS} of {len(section.panels)} figures are drawn; the tables have all "
        "rows."
    )

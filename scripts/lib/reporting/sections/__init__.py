"""The subjects of a report, in the order in which it tells them.

Each has `section(records)`: words, tables and panels, or None without data for it.
"""

from __future__ import annotations

from reporting.records import Records
from reporting.section import Section
from reporting.sections import (
    agreement,
    depth,
    drift,
    fisher,
    flat,
    norms,
    origin,
    residual,
    schur,
    spectrum,
    timing,
)

SUBJECTS = (agreement, spectrum, depth, schur, residual, norms, drift, fisher, flat, timing, origin)


def all_sections(records: Records) -> list[Section]:
    return [section for subject in SUBJECTS if (section := subject.section(records))]

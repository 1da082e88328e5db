"""What was measured, for people and for programs."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from typing import Any

from deadray.errors import UsageError
from deadray.pictures import spectrum_svg
from deadray.tables import html_table, text_table


@dataclass(frozen=True)
class Site:
    """One norm: the keys of `sites[]` in the record deadray/verify/1 are its attributes.

    Of the readings (`exact`, `deployed`) `decisive` is the one that the verdict is about.
    """

    record: dict[str, Any]

    def __getattr__(self, key: str) -> Any:
        if key == "record" or key.startswith("__"):  # asked for before there is a record, by copies
            raise AttributeError(key)
        try:
            return self.record[key]
        except KeyError:
            raise AttributeError(
                f"a site has no '{key}'; it has {', '.join(self.record)}"
            ) from None

    @property
    def decisive(self) -> dict[str, Any]:
        return self.record["exact"] or self.record["deployed"]

    @property
    def abs_cos(self) -> float | None:
        """|cos| of the predicted and the measured direction: the least, where several are dead."""
        cosines = self.decisive["principal_cosines"]
        return min(cosines) if cosines else self.decisive["abs_cos"]


class Report:
    """The verdicts of `watch`. `sites`: one a norm, in the order in which they first ran."""

    def __init__(self, record: dict[str, Any]):
        self._record = record
        self.sites = [Site(site) for site in record["sites"]]

    def to_dict(self) -> dict[str, Any]:
        """The record deadray/verify/1 (docs/records.md)."""
        return json.loads(self.to_json())

    def to_json(self, indent: int | None = 2) -> str:
        return json.dumps(self._record, indent=indent, ensure_ascii=False)

    def to_pandas(self):
        """A data frame with a row for each norm. Needs pandas."""
        try:
            import pandas
        except ImportError as error:
            raise UsageError("to_pandas() needs pandas: pip install pandas") from error
        rows = [dict(zip(_COLUMNS, _row(site), strict=True)) for site in self.sites]
        return pandas.DataFrame(rows, columns=list(_COLUMNS)).set_index("norm")

    @property
    def exit_code(self) -> int:
        """What `deadray verify` would end with: 1 refuted, 8 undetermined, else 0."""
        verdicts = {site.verdict for site in self.sites}
        return 1 if "refuted" in verdicts else 8 if "undetermined" in verdicts else 0

    def __str__(self) -> str:
        """A table of plain text."""
        noteworthy = [site for site in self.sites if site.verdict in ("refuted", "undetermined")]
        lines = [f"{site.name}: {site.verdict}: {site.reason}" for site in noteworthy]
        lines = [text_table(_COLUMNS, self._cells()), *lines, *self._record["notes"]]
        return "\n".join(line.rstrip() for line in lines)

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for site in self.sites:
            counts[site.verdict] = counts.get(site.verdict, 0) + 1
        parts = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
        return f"<deadray.Report: {len(self.sites)} norms: {parts}>"

    def _repr_html_(self) -> str:
        """A table, and the spectrum of the norm with the clearest gap."""
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self._record["notes"])
        table = html_table(_COLUMNS, self._cells())
        return table + spectrum_svg(self._record["sites"]) + notes

    def _cells(self) -> list[list[str]]:
        return [[_text(cell) for cell in _row(site)] for site in self.sites]


_COLUMNS = (
    "norm",
    "kind",
    "d",
    "rows",
    "dead",
    "inherited",
    "|cos|",
    "variance",
    "next",
    "verdict",
)


def _row(site: Site) -> tuple:
    reading = site.decisive
    following = reading["random_variance"] or reading["eigenvalues"]["next"]
    return (
        site.name,
        site.norm,
        site.hidden_size,
        site.rows,
        site.predicted["dimension"],
        site.inherited,
        site.abs_cos,
        reading["lambda_v"],
        following,
        site.verdict,
    )


def _text(cell: Any) -> str:
    if cell is None:
        return "-"
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:.6f}" if 0.001 <= cell <= 1 else f"{cell:.1e}"

"""What several subjects read out of a `deadray/verify/1`."""

from __future__ import annotations

from reporting.records import Record
from reporting.table import Column, text

MODEL_COLUMNS: list[Column] = [text("model", "model"), text("weights", "weights")]


def final_site(record: Record) -> dict:
    """The final norm, or the last one measured."""
    sites = record.data["sites"]
    return next((site for site in sites if site.get("final")), sites[-1])


def least_cosine(reading: dict | None) -> float | None:
    """The least cosine between the predicted subspace and as many bottom eigenvectors.

    Where nothing is predicted it is that of 1/gamma. None without a reading.
    """
    if reading is None:
        return None
    return min(
        (value for value in reading["principal_cosines"] if value is not None),
        default=reading["abs_cos"],
    )


def worst_verdict(record: Record) -> str:
    found = [site["verdict"] for site in record.data["sites"]]
    return next(
        verdict
        for verdict in ("refuted", "undetermined", "confirmed", "absent")
        if verdict in found
    )


def inherited(site: dict) -> int:
    """Null directions that the norm's input brings along; earlier records do not say, and have none
    in what they confirm."""
    return site.get("inherited") or 0


def of(reading: dict | None, key: str) -> float | None:
    return None if reading is None else reading[key]


def is_filled(record: Record) -> bool:
    """Trained weights are drawn filled, random ones hollow."""
    return record.weights != "random"


def marker_face(record: Record, colour: str) -> str:
    return colour if is_filled(record) else "none"

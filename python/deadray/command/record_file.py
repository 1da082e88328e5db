"""Where the record goes."""

from __future__ import annotations

import argparse
import json
import os
import secrets
from pathlib import Path

from ..errors import ResourceError, UsageError
from ..report import Report


def check_record_file(options: argparse.Namespace) -> None:
    """Before the work: raises UsageError for a file that the command reads, or that is a model's.

    Raises ResourceError for a folder that cannot be written to.
    """
    if options.json in (None, "-"):
        return
    file = Path(options.json)
    if not os.access(file.parent, os.W_OK):
        raise ResourceError(f"--json {file}: {file.parent} is no folder that can be written to")
    if not file.exists():
        return
    read = [name for name in (options.data, options.text) if name and name.exists()]
    if any(file.samefile(name) for name in read):
        raise UsageError(f"--json {file}: the command reads this file; give another name")
    if file.resolve().parent == options.model.resolve() and not _is_record(file):
        raise UsageError(f"--json {file}: one of the model's files; give another name")


def write_record(name: str, report: Report) -> None:
    """On standard output for "-"; a file appears whole or not at all."""
    text = report.to_json() + "\n"
    if name == "-":
        print(text, end="")
        return
    file = Path(name)
    partial = file.with_name(f".deadray-{secrets.token_hex(8)}.part")
    try:
        partial.write_text(text, "utf-8")
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _is_record(file: Path) -> bool:
    try:
        return json.loads(file.read_text("utf-8"))["schema"].startswith("deadray/")
    except (ValueError, KeyError, TypeError, AttributeError):
        return False

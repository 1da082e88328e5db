"""Where the records come from: files, commands, machines; and what a suite did not measure."""

from __future__ import annotations

from reporting.records import WEIGHTS, Records
from reporting.section import Section
from reporting.table import Table, count, text


def section(records: Records) -> Section:
    missing = _missing(records)
    notes = " ".join(
        dict.fromkeys(
            f"Roster {record.data['roster']['file']}: {note}"
            for record in records.of("suite")
            if (note := record.data["roster"].get("note"))
        )
    )
    return Section(
        id="origin",
        title="Where the figures come from",
        shows=(
            "The records of this report, with the version, device and, where a suite made them, "
            "command and commit. "
        )
        + notes,
        reading="The commands measure the same again.",
        tables=[table for table in (missing, _files(records)) if table.rows],
        opened=False,
    )


def _missing(records: Records) -> Table:
    columns = [
        text("model", "model"),
        text("weights", "weights"),
        text("state", "state"),
        text("reason", "reason"),
        text("file", "record"),
    ]
    rows = [
        [row["model"], WEIGHTS[row["init"]], row["state"], row.get("reason"), record.file]
        for record in records.of("suite")
        for row in record.data["rows"]
        if row["state"] not in ("measured", "kept")
    ]
    return Table("missing", "Rows of suites that have no figures", columns, rows)


def _files(records: Records) -> Table:
    columns = [
        text("file", "record"),
        text("kind", "kind"),
        text("version", "deadray"),
        text("device", "device"),
        text("cpu", "CPU"),
        count("cores", "cores"),
        text("commit", "commit"),
        text("started", "started"),
        text("command", "command"),
    ]
    rows = []
    for kind, found in records.by_kind.items():
        for record in found:
            # timings say it of themselves
            environment, run = (
                record.data.get("environment") or {},
                record.data.get("suite") or record.data,
            )
            machine = run.get("machine") or {}
            rows.append(
                [
                    record.file,
                    kind,
                    environment.get("version"),
                    environment.get("device"),
                    machine.get("cpu"),
                    machine.get("cores"),
                    run.get("commit") or environment.get("commit"),
                    run.get("started") or run.get("date"),
                    run.get("command"),
                ]
            )
    return Table("records", "Records", columns, rows).without_empty_columns()

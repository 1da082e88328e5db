"""Tables and figures from the records of a folder: report.md, report.csv and report.html.

deadray report results                        what deadray verify, fisher, suite, bench wrote there
deadray report results --format md --out -    the tables as Markdown on standard output
deadray report results --figures png,pdf,svg  also each figure as a file, in DIR/report-figures

report.html is one page that needs no network.
"""

import argparse
import difflib
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

from reporting.document import document
from reporting.records import Records, read_folder
from reporting.schemas import OWN
from reporting.section import Section
from reporting.sections import all_sections
from reporting.table import csv_of, markdown
from tool import MALFORMED, RESOURCES, USAGE, ToolError, printable, run_tool, write_whole

FORMS = ("md", "csv", "html")
FIGURES = ("png", "pdf", "svg")
THEMES = ("light", "dark")


def choice(allowed: tuple[str, ...]):
    def parse(value: str) -> list[str]:
        chosen = value.split(",")
        for name in chosen:
            if name not in allowed:
                raise argparse.ArgumentTypeError(
                    f"'{name}', expected {', '.join(allowed)}, or several with commas between"
                )
        return [name for name in allowed if name in chosen]

    return parse


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, as every subcommand's, with the nearest option."""
        unknown = (
            next((word for word in message.split() if word.startswith("--")), "")
            if message.startswith("unrecognized")
            else ""
        )
        near = difflib.get_close_matches(unknown, self._option_string_actions, n=1)
        raise ToolError(
            USAGE,
            f"{message}; did you mean {near[0]}?"
            if near
            else f"{message}; see deadray report --help",
        )


def parse_arguments() -> argparse.Namespace:
    parser = Parser(
        prog="deadray report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="folder with records (*.json; those of its folders are not read)",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        help="where to write (default: the folder itself); '-': standard output, with one "
        "--format, md or csv",
    )
    parser.add_argument(
        "--format",
        type=choice(FORMS),
        default=list(FORMS),
        metavar="FORM,…",
        help="md, csv, html (default: all; html needs matplotlib)",
    )
    parser.add_argument(
        "--figures",
        type=choice(FIGURES),
        default=[],
        metavar="FORM,…",
        help="also each figure as png, pdf or svg, in OUT/report-figures",
    )
    parser.add_argument(
        "--theme",
        type=choice(THEMES),
        default=["light"],
        metavar="THEME,…",
        help="colours of --figures svg: light (default), dark (NAME-dark.svg), or both",
    )
    parser.add_argument(
        "--json",
        metavar="FILE",
        help="what was read, left out and written, as a record; '-': standard output",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="no table, no notes")
    parser.add_argument(
        "--no-color",
        action="store_true",
        help="accepted as every subcommand does; a report prints no colour",
    )
    return parser.parse_args()


def drawing():
    """The module that draws; matplotlib is loaded when a figure is wanted, not before.

    It is loaded in a folder of our own: in the one we were called in it would obey a matplotlibrc,
    which can make it run LaTeX.
    """
    called_in = os.open(".", os.O_RDONLY)
    os.chdir(Path(__file__).parent)
    try:
        from reporting import drawing
    except ImportError as error:
        raise ToolError(
            RESOURCES,
            f"{error.name or error}: missing, and the figures need it; run scripts/setup "
            "--report, or set DEADRAY_PYTHON to an interpreter that has it, or choose --format "
            "md,csv",
        ) from error
    finally:
        os.fchdir(called_in)
        os.close(called_in)
    return drawing


def render(form: str, records: Records, sections: list[Section]) -> bytes:
    if form == "md":
        return document(records, sections).encode()
    if form == "csv":
        return csv_of([table for section in sections for table in section.all_tables]).encode()
    from reporting.page import page

    return page(records, sections, drawing().svg).encode()


def write(file: Path, content: bytes) -> str:
    try:
        write_whole(file, lambda stream: stream.write(content))
    except OSError as error:
        raise ToolError(RESOURCES, f"{file}: {error.strerror}; give another --out") from error
    return printable(str(file))


def refuse_to_replace(output: Path, folder: Path) -> None:
    """What the folder holds stays, but for what an earlier report said of itself."""
    if not output.is_file() or f'"schema": "{OWN}"'.encode() in output.read_bytes()[:100]:
        return
    for file in folder.glob("*.json"):
        if file.exists() and file.samefile(output):
            raise ToolError(
                USAGE,
                f"{output}: is read ({file}) and would be replaced: give --json another place",
            )


def write_figures(
    folder: Path, forms: list[str], themes: list[str], sections: list[Section]
) -> list[str]:
    if folder.is_symlink():
        raise ToolError(USAGE, f"{folder}: is a link, expected a folder of its own: remove it")
    folder.mkdir(exist_ok=True)
    written = []

    def put(name: str, draw) -> None:
        write_whole(folder / name, draw)
        written.append(printable(str(folder / name)))

    for panel in (panel for section in sections for panel in section.drawn + section.posters):
        for form in forms if "light" in themes else []:
            put(f"{panel.id}.{form}", partial(drawing().save, panel, form=form))
        if "dark" in themes:
            put(f"{panel.id}-dark.svg", partial(drawing().save_dark_svg, panel))
    return written


def record(
    records: Records, sections: list[Section], written: list[str], *, with_posters: bool
) -> str:
    figures = {
        section.id: [panel.id for panel in section.drawn + section.posters * with_posters]
        for section in sections
    }
    content = {
        "schema": OWN,
        "records": {kind: [r.file for r in found] for kind, found in records.by_kind.items()},
        "problems": records.problems,
        "notes": records.notes,
        "sections": figures,
        "files": written,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def run(arguments: argparse.Namespace) -> None:
    sys.stdout.reconfigure(encoding="utf-8")  # as the files are, whatever the locale
    if not arguments.folder.is_dir():
        raise ToolError(
            USAGE,
            f"{arguments.folder}: not a folder; give one with records that deadray verify, "
            "fisher, suite or bench wrote",
        )
    to_terminal = arguments.out == "-"
    if to_terminal and (
        len(arguments.format) != 1
        or arguments.format == ["html"]
        or arguments.figures
        or arguments.json == "-"
    ):
        raise ToolError(
            USAGE,
            "--out -: standard output takes one form: --format md or --format csv, without "
            "--figures and --json -",
        )
    if "dark" in arguments.theme and arguments.figures != ["svg"]:
        raise ToolError(USAGE, "--theme dark: svg alone has dark colours; give --figures svg")
    out = arguments.folder if arguments.out is None else Path(arguments.out)
    if not to_terminal and not out.is_dir():
        raise ToolError(RESOURCES, f"{out}: no such folder; make it first")
    if arguments.json and arguments.json != "-" and not Path(arguments.json).parent.is_dir():
        raise ToolError(RESOURCES, f"{arguments.json}: no such folder; make it first")
    if arguments.json and arguments.json != "-":
        refuse_to_replace(Path(arguments.json), arguments.folder)
    if "html" in arguments.format or arguments.figures:
        drawing()  # before the work

    records = read_folder(arguments.folder)
    folder = printable(str(arguments.folder))
    for problem in records.problems:
        print(f"deadray report: {folder}/{problem}", file=sys.stderr)
    for note in [] if arguments.quiet else records.notes:
        print(f"note: {folder}/{note}", file=sys.stderr)
    if records.count == 0:
        raise ToolError(
            MALFORMED,
            f"{folder}: no usable record of deadray's among its *.json files; make one with "
            f"deadray verify MODEL --json {folder}/NAME.json",
        )

    sections = all_sections(records)
    if to_terminal:
        sys.stdout.write(render(arguments.format[0], records, sections).decode())
    else:
        written = [
            write(out / f"report.{form}", render(form, records, sections))
            for form in arguments.format
        ]
        written += (
            write_figures(out / "report-figures", arguments.figures, arguments.theme, sections)
            if arguments.figures
            else []
        )
        about = record(records, sections, written, with_posters=bool(arguments.figures))
        if arguments.json and arguments.json != "-":
            write(Path(arguments.json), about.encode())
        elif arguments.json:
            sys.stdout.write(about)
        if not arguments.quiet and arguments.json != "-":
            tables = [table.without_empty_columns() for table in sections[0].tables]
            print("\n\n".join(f"{table.title}\n\n{markdown(table)}" for table in tables))
            print(f"\n{', '.join(written)}")
    if records.problems:
        sys.exit(MALFORMED)


if __name__ == "__main__":
    sys.argv[0] = "deadray report"  # how people call it: what errors begin with
    run_tool(lambda: run(parse_arguments()))

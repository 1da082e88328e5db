"""python -m deadray watch MODEL: measures a model that transformers runs."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import NoReturn

from deadray._build import VERSION
from deadray.command.outcome import ending, stop_at_once
from deadray.command.watch_options import add_watch_command
from deadray.errors import NO_TORCH, ResourceError, UsageError


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = _Parser(prog="python -m deadray", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"deadray {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    add_watch_command(commands)
    return parser.parse_args(arguments)


def main() -> int:
    options = parse()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # an error has one line, and it is ours
    try:
        # torch takes a second to import: not before the words are known to be right.
        from deadray.command.watch_command import watch_command
    except ModuleNotFoundError as error:
        missing = f"watch needs {error.name}: pip install {error.name}"
        raise ResourceError(NO_TORCH if error.name == "torch" else missing) from error
    return watch_command(options)


if __name__ == "__main__":
    stop_at_once()
    ending(main)

"""What the Python scripts share: errors of one line, exit codes, files that appear whole."""

from __future__ import annotations

import errno
import os
import secrets
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

USAGE, MALFORMED, UNSUPPORTED, NETWORK, RESOURCES, INTERNAL, INTERRUPTED, BROKEN_PIPE = (
    2,
    3,
    4,
    5,
    6,
    7,
    130,
    141,
)


class ToolError(Exception):
    """One line: where, what was found, what was expected, what to do."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


class ForTerminal:
    """A text stream that nothing but line ends and tabs gets through of what a terminal obeys."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        return self.stream.write("".join(c if c in "\n\t" else printable(c) for c in text))

    def __getattr__(self, name: str) -> object:
        return getattr(self.stream, name)


def run_tool(main: Callable[[], None]) -> None:
    """Runs `main`; an exception becomes a line on standard error and an exit code of deadray's.

    What it prints passes through ForTerminal.
    """
    name = Path(sys.argv[0]).name
    sys.stdout, sys.stderr = ForTerminal(sys.stdout), ForTerminal(sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that partial files go
    try:
        main()
        sys.stdout.flush()
    except ToolError as error:
        print(f"{name}: {printable(str(error))}", file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # the interpreter flushes once more on its way out
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except (OSError, MemoryError) as error:
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        lacking = isinstance(error, MemoryError) or error.errno in (
            errno.ENOSPC,
            errno.EDQUOT,
            errno.EACCES,
            errno.EROFS,
            errno.ENOMEM,
            errno.EFBIG,
        )
        sys.exit(RESOURCES if lacking else MALFORMED)
    except Exception as error:  # Python's own code for it is 1, with which deadray says "refuted"
        at = traceback.extract_tb(error.__traceback__)[-1]
        what = (
            f"{type(error).__name__}: {one_line(error)} ({Path(at.filename).name}, line "
            f"{at.lineno})"
        )
        print(
            f"{name}: internal error: {what}; this is a defect of deadray: please report it, with "
            "what it was given",
            file=sys.stderr,
        )
        sys.exit(INTERNAL)


def one_line(error: BaseException, limit: int = 200) -> str:
    text = printable(" ".join(str(error).split())) or type(error).__name__
    return text if len(text) <= limit else text[:limit] + " …"


def printable(text: str) -> str:
    """`text` with a mark for each character that cannot be printed.

    Names come from files. Control characters would break a page, a table or a terminal. So would
    the lone surrogates that stand for bytes that are not UTF-8.
    """
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def write_whole(file: Path, write: Callable[[object], None]) -> None:
    """Calls `write` with a stream beside `file`, then renames it: never leaves a half file."""
    # The name is host/base/atomic_file.cpp's.
    partial = file.with_name(f".deadray-{secrets.token_hex(8)}.part")
    try:
        with partial.open("xb") as stream:
            write(stream)
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)

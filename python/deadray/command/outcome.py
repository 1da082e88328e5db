"""How the command ends: one line for an error, and the exit codes of the program."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ..errors import Error, ResourceError, UsageError
from .launched import end_others, joined, launched, speaks_for_all

_BROKEN_PIPE = 141
_STOPPING = (signal.SIGINT, signal.SIGTERM)
_saying = threading.Lock()


def stop_at_once() -> None:
    """Lets SIGINT and SIGTERM end the process even while a long decomposition goes on.

    To be called before other threads begin: they inherit that the signals are blocked.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    threading.Thread(target=_end_on_signal, daemon=True).start()


def _end_on_signal() -> None:
    number = signal.sigwait(_STOPPING)
    if joined():
        say(
            f"stopped by {signal.Signals(number).name}; a launcher sends it where another rank is "
            "lost"
        )
    end_now(128 + number)


def ending(command: Callable[[], int]) -> NoReturn:
    """Runs `command` and ends the process with its exit code, or with that of its error."""
    try:
        code = command()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more
        code = _BROKEN_PIPE
    except (Error, MemoryError, OSError) as error:
        code = getattr(error, "exit_code", ResourceError.exit_code)
        if not say(one_line(error), usage=isinstance(error, UsageError)) and code == 2:
            code = 0  # the first rank fails with the same words: its launcher shall not cut it off
    except Exception as error:
        code = Error.exit_code
        at = traceback.extract_tb(error.__traceback__)[-1]
        say(
            f"internal error: {type(error).__name__}: {one_line(error)} ({Path(at.filename).name}, "
            f"line {at.lineno}); this is a defect of deadray: please report it"
        )
    if launched() and code:
        end_now(code)  # threads of a group may wait for a rank that is gone
    sys.exit(code)


def end_now(code: int) -> NoReturn:
    """Ends this rank, whatever its threads wait for, and the others."""
    with _saying:
        end_others()
        os._exit(code)


def say(line: str, usage: bool = False) -> bool:
    """Prints a line on standard error: of several ranks one does. Whether this one did.

    usage: the command's words are wrong, and so they are for every rank.
    """
    with _saying:
        if not speaks_for_all(usage):
            return False
        print(f"deadray watch: {printable(line)}", file=sys.stderr, flush=True)
        return True


def one_line(error: BaseException, limit: int = 600) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= limit else text[:limit] + " …"


def printable(text: str) -> str:
    """`text` with a mark for each character that a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)

"""What deadray raises. The message is the line that the program would print."""

from __future__ import annotations

NO_TORCH = (
    "torch is not installed: install it, then deadray again, whose measuring part is compiled for "
    "the torch that it finds"
)


class Error(Exception):
    """Anything that deadray refuses or cannot do."""

    exit_code: int = 7  #: with which the program would end


class UsageError(Error, ValueError):
    """An argument is wrong."""

    exit_code = 2


class MalformedError(Error):
    """A file, or a model, is damaged or contradicts itself."""

    exit_code = 3


class UnsupportedError(Error):
    """An architecture or a format that deadray does not know."""

    exit_code = 4


class NetworkError(Error):
    """A download failed or was not finished."""

    exit_code = 5


class ResourceError(Error):
    """A device, memory, disk or a package is missing."""

    exit_code = 6


class NotInstalledError(ResourceError, AttributeError):
    """Of deadray's own names the one that was asked for needs a package that does not fit."""


class InternalError(Error):
    """A defect of deadray itself."""

    exit_code = 7


_CLASSES = {
    kind.exit_code: kind
    for kind in (
        UsageError,
        MalformedError,
        UnsupportedError,
        NetworkError,
        ResourceError,
        InternalError,
    )
}


def error_of(exit_code: int, message: str) -> Error:
    """The error that ends the program with that code."""
    return _CLASSES.get(exit_code, InternalError)(message)

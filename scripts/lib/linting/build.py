"""What the release build says of itself: its compile commands and its rooms."""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from pathlib import Path

from linting.tree import ROOT

BUILD = ROOT / "build" / "release"
KEPT = ROOT / "build" / "lint"  # what was found clean stays so until its inputs change


@cache
def compile_commands() -> list[dict]:
    """Entries {directory, file, arguments}; none where nothing was configured.

    Left out are ccache and the precompiled headers: they are gcc's, and clang cannot read them.
    Sources that are compiled several at once have an entry each.
    """
    file = BUILD / "compile_commands.json"
    found = []
    for entry in json.loads(file.read_text()) if file.exists() else []:
        arguments = without_precompiled(shlex.split(entry["command"]))
        found += [
            {
                "directory": entry["directory"],
                "file": source,
                "arguments": [source if word == entry["file"] else word for word in arguments],
            }
            for source in sources_of(entry["file"])
        ]
    return found


def sources_of(file: str) -> list[str]:
    """The sources that CMake's unity build put into this one; the file itself where it is none."""
    if not (Path(file).name.startswith("unity_") and Path(file).exists()):
        return [file]
    return re.findall(r'^#include "(.+)"$', Path(file).read_text("utf-8"), re.MULTILINE)


def without_precompiled(words: list[str]) -> list[str]:
    if Path(words[0]).name == "ccache":
        words = words[1:]
    kept, rest = [], iter(words)
    for word in rest:
        if word == "-include":
            header = next(rest)
            kept += [] if "cmake_pch" in header else [word, header]
        elif word != "-Winvalid-pch":
            kept.append(word)
    return kept


@cache
def rooms() -> list[dict]:
    """What cmake/DeadrayRooms.cmake wrote of each room; none where nothing was configured."""
    file = BUILD / "rooms.json"
    return json.loads(file.read_text())["rooms"] if file.exists() else []


def compiler() -> str:
    cache_file = BUILD / "CMakeCache.txt"
    text = cache_file.read_text() if cache_file.exists() else ""
    found = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", text, re.MULTILINE)
    return found[1] if found else "c++"

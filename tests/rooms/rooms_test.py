"""The rooms of the source tree: arrows go one way, and doors are shut.

    rooms_test.py BUILD/rooms.json COMPILER

CMake writes rooms.json: each room, what it uses, its include path. Needs no package.
"""

import json
import re
import subprocess
import sys
import unittest
from functools import cache
from pathlib import Path

HEADERS = (".h", ".cuh")
SOURCES = (".cpp", ".cu")
MOST_FILES = 30  # in one folder, test data and families aside
MOST_LINES = 15  # of a room's README


def load(path: str) -> tuple[Path, dict[str, dict]]:
    described = json.loads(Path(path).read_text(encoding="utf-8"))
    return Path(described["source"]), {room["room"]: room for room in described["rooms"]}


ROOMS_JSON, COMPILER = (sys.argv[1:3] + ["", ""])[:2]
SOURCE, ROOMS = load(ROOMS_JSON) if ROOMS_JSON else (Path(), {})


@cache
def may_use(room: str) -> frozenset[str]:
    """The rooms whose headers `room` may include: its own, those it uses, those that they use."""
    below = (may_use(used) for used in ROOMS[room]["uses"])
    return frozenset({room}).union(*below)


def files_of(room: str, endings: tuple[str, ...]) -> list[Path]:
    return sorted(file for file in (SOURCE / room).rglob("*") if file.suffix in endings)


def includes_of(file: Path) -> list[str]:
    return re.findall(r'^#include "([^"]+)"', file.read_text(encoding="utf-8"), re.MULTILINE)


def room_of(path: str) -> str:
    return "/".join(path.split("/")[:2])


def first_header(room: str) -> str:
    return files_of(room, (".h",))[0].relative_to(SOURCE).as_posix()


def open_doors(room: str) -> set[str]:
    """The rooms whose headers a source of `room` can include: the preprocessor says which."""
    question = "".join(
        f'#if __has_include("{first_header(other)}")\n"{other}"\n#endif\n' for other in ROOMS
    )
    paths = [f"-I{path}" for path in ROOMS[room]["include_directories"] if path]
    answer = subprocess.run(
        [COMPILER, "-std=c++20", "-E", "-P", *paths, "-x", "c++", "-"],
        input=question,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(re.findall(r'"(.*)"', answer.stdout))


class DoorsTest(unittest.TestCase):
    def test_a_room_can_include_those_that_it_may_use_and_no_others(self):
        for room in ROOMS:
            with self.subTest(room=room):
                self.assertEqual(open_doors(room), may_use(room))


class ArrowsTest(unittest.TestCase):
    def test_every_include_names_a_room_that_may_be_used(self):
        for room in ROOMS:
            for file in files_of(room, HEADERS + SOURCES):
                for include in includes_of(file):
                    if "/" in include:  # made by CMake otherwise
                        with self.subTest(file=str(file), include=include):
                            self.assertTrue((SOURCE / include).exists())
                            self.assertIn(room_of(include), may_use(room))

    def test_no_circle_of_units(self):
        """A unit is a header with the sources of its name."""
        uses: dict[str, set[str]] = {}
        for room in ROOMS:
            for file in files_of(room, HEADERS + SOURCES):
                unit = file.relative_to(SOURCE).with_suffix("").as_posix()
                named = {Path(include).with_suffix("").as_posix() for include in includes_of(file)}
                uses.setdefault(unit, set()).update(named - {unit})
        done: set[str] = set()

        def visit(unit: str, way: tuple[str, ...]) -> None:
            self.assertNotIn(unit, way, f"a circle: {' -> '.join((*way, unit))}")
            if unit not in done:
                for used in sorted(uses.get(unit, ())):
                    visit(used, (*way, unit))
                done.add(unit)

        for unit in sorted(uses):
            visit(unit, ())


class TableTest(unittest.TestCase):
    def test_contributing_says_what_cmake_says(self):
        text = (SOURCE / "CONTRIBUTING.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| `([a-z_/]+)` \|[^|]*\| ([^|]*) \|$", text, re.MULTILINE)
        lines = re.findall(r"^\| `(?:kernels|host|verify|python)/", text, re.MULTILINE)
        self.assertEqual(len(rows), len(lines), "a row of the table cannot be read")
        table = {room: set(re.findall(r"`([a-z_/]+)`", uses)) for room, uses in rows}
        self.assertEqual(len(rows), len(table), "a room stands twice in the table")
        for room in ROOMS:
            with self.subTest(room=room):
                self.assertEqual(table.get(room), set(ROOMS[room]["uses"]))
        if "verify/command" in ROOMS:  # a build without the heavy side knows fewer rooms
            self.assertLessEqual(set(table) - set(ROOMS), {"python/bindings"})  # may be left out

    def test_every_room_has_a_short_readme(self):
        for room in ROOMS:
            with self.subTest(room=room):
                lines = (SOURCE / room / "README.md").read_text(encoding="utf-8").splitlines()
                self.assertLessEqual(len(lines), MOST_LINES)

    def test_no_folder_is_too_full(self):
        for top in ("kernels", "host", "verify", "python", "tests", "scripts"):
            folders = {
                file.parent
                for file in (SOURCE / top).rglob("*")
                if file.is_file() and not {"fixtures", "families", "__pycache__"} & set(file.parts)
            }
            for folder in sorted(folders):
                count = sum(entry.is_file() for entry in folder.iterdir())
                with self.subTest(folder=str(folder)):
                    self.assertLessEqual(count, MOST_FILES)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

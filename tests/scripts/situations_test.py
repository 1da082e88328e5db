#!/usr/bin/env python3
"""deadray on the situations of tests/fixtures/situations, each held to its expect.json.

DEADRAY=build/release/bin/deadray python3 tests/scripts/situations_test.py [-k NAME]
$DEADRAY_SITUATION, a regular expression, chooses among them. Exit code 77 (skipped): no $DEADRAY.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any, NamedTuple

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures/situations"
CHOSEN = re.compile(os.environ.get("DEADRAY_SITUATION", ""))
TOKENS = "96"  # more rows than any of them is wide, so that covariances have full rank
FAILURES = range(2, 8)  # usage … internal; 1 and 8 are verdicts
KEYS = {
    *("about", "dead", "norms", "silent"),
    *(f"{run}{what}" for run in ("predict", "strict", "verify") for what in ("", "_says")),
    *("predict_options", "verify_options"),
}

if not os.environ.get("DEADRAY"):
    print("skipped: $DEADRAY does not name the program")
    sys.exit(77)


class Outcome(NamedTuple):
    code: int
    record: dict[str, Any]  # empty where it failed
    errors: str

    @property
    def notes(self) -> list[str]:
        return self.record.get("notes", [])

    def __str__(self) -> str:
        said = "\n".join([self.errors.strip(), *self.notes]) or "nothing"
        return f"ended with {self.code} and said:\n{said}"


def run(command: str, model: Path, options: list[str]) -> Outcome:
    arguments = [os.environ["DEADRAY"], command, str(model), *options, "--json", "-"]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    # A folder's name says what is the matter: without it, the words are the program's own.
    said, record = (text.replace(str(model), "MODEL") for text in (done.stderr, done.stdout))
    return Outcome(done.returncode, json.loads(record or "{}"), said)


def situations() -> list[tuple[Path, dict[str, Any]]]:
    return [
        (folder / name, right)
        for folder in (FIXTURES, FIXTURES / "more")
        for name, right in json.loads((folder / "expect.json").read_text()).items()
        if CHOSEN.search(name)
    ]


class SituationsTest(unittest.TestCase):
    maxDiff = None

    def expect(self, what: str, outcome: Outcome, allowed: list[int], says: str) -> None:
        """The exit code is allowed, a failure is one line, and one of the words is there."""
        self.assertIn(outcome.code, allowed, f"{what} {outcome}")
        lines = outcome.errors.splitlines()
        complaints = [line for line in lines if line.startswith("deadray: ")]
        others = [line for line in lines if not line.startswith(("deadray: ", "note: "))]
        failed = outcome.code in FAILURES
        self.assertEqual(len(complaints), int(failed), f"one line of failure: {what} {outcome}")
        if failed:
            self.assertEqual(others, [], f"nothing else: {what} {outcome}")
        text = "\n".join([outcome.errors, *outcome.notes])
        self.assertRegex(text, re.compile(says, re.IGNORECASE), f"{what} {outcome}")

    def check_prediction(self, model: Path, right: dict[str, Any]) -> None:
        options = right.get("predict_options", [])
        outcome = run("predict", model, options)
        self.expect("predict", outcome, right["predict"], right.get("predict_says", ""))
        if outcome.code == 0:
            found = {
                "dead": outcome.record["totals"]["dead_directions"],
                "norms": len(outcome.record["sites"]),
            }
            for key in found.keys() & right.keys():
                self.assertEqual(found[key], right[key], f"{key}; predict {outcome}")
        if right.get("silent"):
            self.assertEqual((outcome.errors, outcome.notes), ("", []), "silence expected")
        if "strict" in right:
            strict = run("predict", model, [*options, "--strict"])
            self.expect("predict --strict", strict, right["strict"], right.get("strict_says", ""))

    def test_every_situation_gets_its_answer(self) -> None:
        for model, right in situations():
            with self.subTest(model.name):
                self.assertLessEqual(right.keys(), KEYS, "keys that nobody reads")
                self.check_prediction(model, right)
        # apart, so that both answers of a situation are told
        for model, right in situations():
            if "verify" not in right:
                continue
            with self.subTest(f"verify {model.name}"):
                options = ["--random-tokens", TOKENS, *right.get("verify_options", [])]
                outcome = run("verify", model, options)
                self.expect("verify", outcome, right["verify"], right.get("verify_says", ""))

    def test_every_folder_has_its_answer(self) -> None:
        for folder, others in ((FIXTURES, {"files", "more"}), (FIXTURES / "more", set())):
            there = {path.name for path in folder.iterdir() if path.is_dir()} - others
            self.assertEqual(there, json.loads((folder / "expect.json").read_text()).keys())

    def test_links_to_nowhere_came_along(self) -> None:
        for name in ("links-to-nowhere", "weights-link-to-nowhere"):
            file = FIXTURES / "more" / name / "model.safetensors"
            self.assertTrue(file.is_symlink() and not file.exists(), file)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""scripts/lib/timing_peers.py: what it offers, and how it answers.

Needs none of the libraries that it times.

python3 tests/scripts/timing_peers_test.py
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/lib"))
from timing_peers import kernel_of, offer, serve
from timing_ways import WAYS, Problem, Way

INSTALLED = next(iter(importlib.metadata.distributions())).metadata["Name"]


class Matrix:
    """All that an offer asks of the rows."""

    shape = (80, 64)


def way(method: str, prepare=lambda problem: lambda: None, **more) -> Way:
    return Way(method, method + " peer", more.pop("package", INSTALLED), prepare, **more)


def fails(problem: Problem):
    raise ImportError("a library\nof another version")


def offered(ways: list[Way], methods: str, metadata: dict | None = None):
    return offer(
        Problem({"rows": Matrix()}, metadata or {}),
        methods.split(","),
        2,
        ways,
        limit=lambda threads: [],
    )


class OfferTest(unittest.TestCase):
    def test_numbers_what_was_asked_for(self) -> None:
        first, runs = offered(
            [
                way("eigh", lambda problem: lambda: "first"),
                way("svd"),
                way("eigh", lambda problem: lambda: "second"),
            ],
            "eigh",
        )
        self.assertEqual([peer["method"] for peer in first["peers"]], ["eigh", "eigh"])
        self.assertEqual([run() for run in runs], ["first", "second"])
        self.assertEqual(first["peers"][0]["threads"], 2)
        self.assertEqual(first["peers"][0]["version"], importlib.metadata.version(INSTALLED))
        self.assertEqual(first["missing"], [])

    def test_goes_on_without_what_is_missing_or_broken(self) -> None:
        first, runs = offered(
            [
                way("eigh", package="no-such-library"),
                way("eigh", fails),
                way("eigh", lambda problem: lambda: 7),
            ],
            "eigh",
        )
        self.assertEqual([run() for run in runs], [7])
        self.assertEqual(len(first["peers"]), 1)
        self.assertIn("no-such-library is not installed", first["missing"][0]["reason"])
        self.assertEqual(first["missing"][1]["reason"], "a library of another version")

    def test_a_forward_pass_needs_a_model(self) -> None:
        forward = [way("forward", needs_model=True)]
        self.assertEqual(offered(forward, "forward")[0], {"peers": [], "missing": []})
        self.assertEqual(len(offered(forward, "forward", {"model": "folder"})[0]["peers"]), 1)

    def test_tells_the_bytes_of_a_call(self) -> None:
        first, _ = offered([way("svd", matrices=2, copies=3)], "svd")
        self.assertEqual(first["peers"][0]["bytes"], 8 * (2 * 64 * 64 + 3 * 80 * 64))

    def test_every_real_way_has_a_name_of_its_own(self) -> None:
        names = [(real.method, real.peer) for real in WAYS]
        self.assertEqual(len(names), len(set(names)))


class ServeTest(unittest.TestCase):
    def test_answers_each_number_in_turn(self) -> None:
        calls, answers = [], io.StringIO()
        serve(
            [lambda: calls.append("a"), lambda: 1 / 0], ["0\n", "1\n", "5\n", "x\n", "0\n"], answers
        )
        lines = [json.loads(line) for line in answers.getvalue().splitlines()]
        self.assertEqual(calls, ["a", "a"])
        self.assertEqual(["seconds" in line for line in lines], [True, False, False, False, True])
        self.assertIn("zero", lines[1]["error"])


class KernelTest(unittest.TestCase):
    LIBRARIES = [
        {"internal_api": "openmp", "filepath": "/v/numpy.libs/libgomp.so", "version": None},
        {
            "internal_api": "openblas",
            "filepath": "/v/scipy.libs/libscipy_openblas.so",
            "version": "0.3.30",
            "architecture": "Zen",
        },
        {
            "internal_api": "openblas",
            "filepath": "/v/numpy.libs/libscipy_openblas64_.so",
            "version": "0.3.31",
            "architecture": "SkylakeX",
        },
    ]

    def test_is_that_of_the_package_itself(self) -> None:
        self.assertEqual(kernel_of("numpy", self.LIBRARIES), "OpenBLAS 0.3.31 SkylakeX")
        self.assertEqual(kernel_of("scipy", self.LIBRARIES), "OpenBLAS 0.3.30 Zen")
        self.assertEqual(kernel_of("torch", self.LIBRARIES), "")
        self.assertEqual(kernel_of("numpy", []), "")


if __name__ == "__main__":
    unittest.main()

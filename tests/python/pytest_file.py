"""Runs one file of tests under pytest, as a test of ctest.

    PYTHONPATH=build/release/python python pytest_file.py tests/python/prediction_test.py

Exit codes: pytest's, and 77 (skipped) where pytest is missing or every test was skipped.
"""

from __future__ import annotations

import sys

SKIPPED = 77

try:
    import pytest
except ImportError:
    print("skipped: no pytest; run scripts/setup --python")
    sys.exit(SKIPPED)


class Count:
    """A plugin that counts the tests which were run to their end."""

    def __init__(self) -> None:
        self.ran = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "call" and not report.skipped


if __name__ == "__main__":
    count = Count()
    code = pytest.main(["-q", "-rs", "-s", "-p", "no:cacheprovider", *sys.argv[1:]], [count])
    nothing_ran = code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED) and not count.ran
    sys.exit(SKIPPED if nothing_ran else int(code))

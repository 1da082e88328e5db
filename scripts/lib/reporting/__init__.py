"""deadray report: tables and figures from records. records -> sections -> Markdown, CSV, one HTML page."""

import sys

if sys.version_info < (
    3,
    10,
):  # which can read this file and report.py, so far as there, but not the others
    print(
        (
            "deadray report: Python %d.%d, expected 3.10 or later; set DEADRAY_PYTHON to such an "
            "interpreter"
        )
        % sys.version_info[:2],
        file=sys.stderr,
    )
    sys.exit(6)

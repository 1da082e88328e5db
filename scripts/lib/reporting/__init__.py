"""deadray report: tables and figures from records.

records -> sections -> Markdown, CSV, one HTML page
"""

import sys

# An older interpreter can read this file and report.py, so far as there, but none of the others.
if sys.version_info < (3, 10):  # noqa: UP036
    found = ".".join(map(str, sys.version_info[:2]))
    print(
        f"deadray report: Python {found}, expected 3.10 or later; "
        "set DEADRAY_PYTHON to such an interpreter",
        file=sys.stderr,
    )
    sys.exit(6)

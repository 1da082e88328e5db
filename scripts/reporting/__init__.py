"""deadray report: tables and figures from records. records -> sections -> Markdown, CSV, one HTML page."""

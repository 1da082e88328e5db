#!/usr/bin/env python3
"""The page that scripts/lib/report.py makes, in headless Chromium.

No error, no request, every figure named, tables that sort, text that can be read.

python3 tests/scripts/report_page_test.py [--screenshots FOLDER]

Ends with exit code 77 (skipped) without a browser or without matplotlib.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import chromium
import report_records as made

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests/fixtures/records"  # real records of the samples
VIEWS = [(width, dark) for width in (1280, 400) for dark in (False, True)]

# Computes in the page the contrast of each piece of text with what lies behind it; gives the least,
# with its text. Numbers in cells of a heat map are left out: they are black or white by the fill
# that they stand on.
CONTRAST = """
(() => {
  const context = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgba = (colour) => {
    context.clearRect(0, 0, 1, 1);
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgba(colour).map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (rgba(colour)[3]) return colour;
    }
    return "white";
  };
  let least = [21, ""];
  const kinds = "h1, h2, h3, p, a, li, th, td, caption, summary, button, svg text";
  for (const element of document.querySelectorAll(kinds)) {
    if (!element.textContent.trim() || element.closest(".skip")) continue;
    const style = getComputedStyle(element);
    const drawn = element instanceof SVGElement;
    if (drawn && /^rgb\\((1, 1, 1|254, 254, 254)\\)$/.test(style.fill)) continue;
    const ink = luminance(drawn ? style.fill : style.color), paper = luminance(behind(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < least[0]) least = [ratio, element.textContent];
  }
  return least;
})()
"""


class ReportPageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.samples, cls.kinds = cls.folder / "samples", cls.folder / "kinds"
        shutil.copytree(SAMPLES, cls.samples)
        cls.kinds.mkdir()
        made.write_all(cls.kinds)
        (cls.kinds / "bad.json").write_text("{")
        cls.figures = {}
        for folder, code in ((cls.samples, 0), (cls.kinds, 3)):
            run = subprocess.run(
                [
                    sys.executable,
                    "-B",
                    ROOT / "scripts/lib/report.py",
                    folder,
                    "--json",
                    folder / "about.json",
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            assert run.returncode == code, run.stderr
            cls.figures[folder] = [
                panel
                for panels in json.loads((folder / "about.json").read_text())["sections"].values()
                for panel in panels
            ]
        cls.browser = cls.enterClassContext(chromium.Chromium())

    def page(self, folder: Path, width: int = 1280, dark: bool = False) -> chromium.Page:
        return self.browser.open(folder / "report.html", width, dark)

    def test_opens_without_error_and_without_network_at_every_width_and_in_both_modes(self):
        for folder in (self.samples, self.kinds):
            for width, dark in VIEWS:
                page = self.page(folder, width, dark)
                self.assertEqual(page.errors, [])
                self.assertEqual(
                    [url for url in page.requests if not url.startswith("data:")],
                    [(folder / "report.html").resolve().as_uri()],
                )
                self.assertEqual(
                    page.value("document.documentElement.scrollWidth"),
                    width,
                    "the page is as wide as the window: only tables scroll sideways",
                )
                if SHOTS:
                    (
                        SHOTS / f"{folder.name}-{width}-{'dark' if dark else 'light'}.png"
                    ).write_bytes(page.screenshot())

    def test_would_see_errors(self):
        """The negative control of the test above."""
        for body in (
            "<script>console.error('x')</script>",
            "<script>nonsense()</script>",
            "<img src='missing.png'>",
            "<link rel=stylesheet href='http://localhost:9/x.css'>",
        ):
            file = self.folder / "bad.html"
            file.write_text(f"<!doctype html><title>bad</title>{body}")
            page = self.browser.open(file)
            self.assertTrue(page.errors or len(page.requests) > 1, body)

    def test_every_figure_is_there_and_says_what_it_shows(self):
        for folder in (self.samples, self.kinds):
            page = self.page(folder)
            self.assertEqual(
                page.value("[...document.querySelectorAll('figure')].map((f) => f.id)"),
                self.figures[folder],
            )
            self.assertEqual(
                page.value(
                    "[...document.querySelectorAll('figure > svg')].filter((s) => "
                    "s.getBoundingClientRect().height > 80).length"
                ),
                len(self.figures[folder]),
            )
            nodes = page.call("Accessibility.getFullAXTree")["nodes"]
            images = [
                node
                for node in nodes
                if node.get("role", {}).get("value") in ("image", "img") and not node["ignored"]
            ]
            self.assertEqual(len(images), len(self.figures[folder]))
            for image in images:
                self.assertGreater(len(image["name"]["value"]), 40, image)

    def test_kinds_of_records_all_have_a_figure(self):
        stems = {figure.rstrip("0123456789").rstrip("-") for figure in self.figures[self.kinds]}
        self.assertEqual(
            stems,
            {
                "agreement",
                "spectrum",
                "depth-exact",
                "depth-deployed",
                "schur",
                "residual",
                "drift-0-abs-cos",
                "drift-0-one-minus-abs-cos",
                "drift-0-gamma-change",
                "drift-0-gamma-min",
                "drift-0-coordinates",
                "norms",
                "fisher",
                "flat",
                "flat-order",
                "timing-device",
                "timing-peers",
                "timing-predictor",
            },
        )

    def sort(self, page: chromium.Page, section: str, title: str) -> tuple[str, list[str]]:
        """Clicks the heading. Returns how the table is then sorted, and what stands in the column.

        What was not measured is "".
        """
        return tuple(
            page.value(f"""(() => {{
          const table = document.querySelector("#{section} table");
          const headings = [...table.tHead.rows[0].cells];
          const heading = headings.find((th) => th.textContent === "{title}");
          heading.querySelector("button").click();
          const cells = [...table.tBodies[0].rows].map((row) => row.cells[heading.cellIndex]);
          return [heading.ariaSort, cells.map((cell) => cell.dataset.value ?? cell.textContent)];
        }})()""")
        )

    def test_tables_sort_by_numbers_and_by_text_and_keep_what_is_missing_below(self):
        page = self.page(self.kinds)
        for order, is_reversed in (
            ("ascending", False),
            ("descending", True),
            ("ascending", False),
        ):
            sorted_as, values = self.sort(page, "timing", "seconds (median)")
            self.assertEqual(
                (sorted_as, list(map(float, values))),
                (order, sorted(map(float, values), reverse=is_reversed)),
            )
            self.assertIn(order, page.value("document.getElementById('live').textContent"))
        _, names = self.sort(page, "agreement", "model")
        self.assertEqual(names, ["a", "a", "r"])
        for _ in range(2):
            self.assertEqual(self.sort(page, "agreement", "p")[1], ["0.5", "", ""])
        self.assertEqual(
            page.value(
                "document.querySelectorAll('#agreement table:first-of-type [aria-sort=ascending], "
                "#agreement table:first-of-type [aria-sort=descending]').length"
            ),
            1,
        )
        self.assertEqual(page.errors, [])

    def test_works_from_the_keyboard(self):
        page = self.page(self.kinds)
        page.press("Tab", 9)
        self.assertEqual(page.value("document.activeElement.className"), "skip")
        page.press("Enter", 13, "\r")
        self.assertEqual(page.value("location.hash"), "#content")
        page.value("document.querySelector('#agreement thead button').focus()")
        page.press("Enter", 13, "\r")
        self.assertEqual(
            page.value("document.querySelector('#agreement thead th').ariaSort"), "ascending"
        )
        for _ in range(40):
            page.press("Tab", 9)
            if page.value("document.activeElement.tagName") == "SUMMARY":
                break
        page.press("Enter", 13, "\r")
        self.assertTrue(page.value("document.activeElement.parentElement.open"))

    def test_copies_numbers_in_full_precision(self):
        page = self.page(self.kinds)
        self.browser.call(
            "Browser.grantPermissions",
            permissions=["clipboardReadWrite", "clipboardSanitizedWrite"],
        )
        page.value("document.querySelector('#agreement .copy').click()")
        page.value("new Promise((done) => setTimeout(done, 200))")
        copied = page.value("navigator.clipboard.readText()")
        self.assertIn("|cos| exact", copied)
        self.assertIn("\t0.125\t", copied)

    def test_text_stands_out_in_both_modes(self):
        for folder in (self.samples, self.kinds):
            for dark in (False, True):
                ratio, words = self.page(folder, dark=dark).value(CONTRAST)
                self.assertGreaterEqual(ratio, 4.5, words)  # WCAG's AA for text

    def test_reads_without_a_script(self):
        page = self.browser.open(self.kinds / "report.html", scripts=False)
        self.assertEqual(page.value("document.querySelectorAll('button').length"), 0)
        self.assertIn("Final norm of every model", page.value("document.body.innerText"))


if __name__ == "__main__":
    SHOTS = None
    if "--screenshots" in sys.argv:
        at = sys.argv.index("--screenshots")
        SHOTS = Path(sys.argv[at + 1])
        SHOTS.mkdir(parents=True, exist_ok=True)
        del sys.argv[at : at + 2]
    for missing, what in (
        (chromium.find() is None, "no Chromium: scripts/setup --browser, or DEADRAY_CHROMIUM=PATH"),
        (importlib.util.find_spec("matplotlib") is None, "no matplotlib: scripts/setup --report"),
    ):
        if missing:
            print(f"skipped: {what}")
            sys.exit(77)
    unittest.main(verbosity=2)

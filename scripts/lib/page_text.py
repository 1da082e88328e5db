"""The words of a web page: scripts/lib/page_text.py PAGE.html

Writes what stands in its article, or in all of it, a paragraph a line.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path

SILENT = {"script", "style", "head", "nav", "button"}
INLINE = {"a", "b", "strong", "em", "i", "code", "span", "sup"}


class Words(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.silent: list[str] = []  # the elements around that show no words
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag in SILENT:
            self.silent.append(tag)
        elif tag not in INLINE:
            self.text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if self.silent and self.silent[-1] == tag:
            self.silent.pop()
        elif tag not in INLINE:
            self.text.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.text.append(data.replace("\n", " "))


def main() -> None:
    page = Path(sys.argv[1]).read_text(encoding="utf-8")
    start, end = page.find("<article"), page.find("</article>")
    words = Words()
    words.feed(page[start:end] if 0 <= start < end else page)
    lines = (" ".join(line.split()) for line in "".join(words.text).split("\n"))
    print("\n".join(line for line in lines if line))


if __name__ == "__main__":
    main()

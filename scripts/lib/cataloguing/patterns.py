"""Names of tensors, numbered alike, become one pattern: "layers.{}.norm.weight"."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Hashable


def places(name: str) -> list[int]:
    """Which components of a name are numbers."""
    return [i for i, part in enumerate(name.split(".")) if part.isdigit()]


def with_places(name: str, open_places: tuple[int, ...]) -> str:
    parts = name.split(".")
    for place in open_places:
        parts[place] = "{}"
    return ".".join(parts)


class Names:
    """All names of a state dict, for asking what a pattern would match there."""

    def __init__(self, names: list[str]):
        self._patterns: dict[str, str] = {}
        self.by_all_open: dict[str, list[str]] = defaultdict(list)
        self.numbers: dict[str, set[str]] = defaultdict(set)  # of each container
        for name in names:
            self.by_all_open[with_places(name, tuple(places(name)))].append(name)
            parts = name.split(".")
            for place in places(name):
                self.numbers[".".join(parts[:place])].add(parts[place])

    def matched(self, name: str, open_places: tuple[int, ...]) -> list[str]:
        family = self.by_all_open[with_places(name, tuple(places(name)))]
        pattern = with_places(name, open_places)
        return [other for other in family if with_places(other, open_places) == pattern]

    def siblings(self, name: str, place: int) -> int:
        """How many numbers its container has at this place, whatever follows there."""
        return len(self.numbers[".".join(name.split(".")[:place])])

    def pattern(self, name: str, alike: dict[str, Hashable]) -> str:
        """The widest pattern that matches this tensor and others alike, none that differs.

        A number stays where it is the only one of its container: what the first of seven
        convolutions has, the others may have of another kind.
        """
        if name not in self._patterns:
            self._find(name, alike)
        return self._patterns[name]

    def _find(self, name: str, alike: dict[str, Hashable]) -> None:
        numbers = places(name)
        for count in range(len(numbers), -1, -1):
            for open_places in itertools.combinations(numbers, count):
                matched = self.matched(name, open_places)
                if any(alike.get(other) != alike[name] for other in matched):
                    continue
                seen = [{other.split(".")[place] for other in matched} for place in open_places]
                if all(
                    len(values) > 1 or self.siblings(name, place) == 1
                    for place, values in zip(open_places, seen, strict=True)
                ):
                    for other in matched:
                        self._patterns.setdefault(other, with_places(name, open_places))
                    return
        self._patterns[name] = name

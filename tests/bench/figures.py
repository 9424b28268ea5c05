"""Figures of a sitting as text: medians of the windows that count, and ranges."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.bench.results import Results
from tests.bench.spread import median

NOTHING = "–"


class Figures:
    """What the tables are made of."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def has(self, scenario: str, peer: str) -> bool:
        return bool(self.results.kept(scenario, peer))

    def told_of(self, scenario: str, peer: str) -> bool:
        """Is there anything to say of it, be it that it failed?"""
        return self.has(scenario, peer) or bool(self.results.failure(scenario, peer))

    def mid(self, scenario: str, peer: str, path: str, form: str) -> str:
        """The median of one figure."""
        values = self.results.values(scenario, peer, path)
        return format(median(values), form) if values else NOTHING

    def of(self, scenario: str, peer: str) -> Callable[[str, str], str]:
        """The same for one scenario and peer, by what their runs resulted in."""

        def mid(path: str, form: str) -> str:
            return self.mid(scenario, peer, f"result.{path}", form)

        return mid

    def per_op(
        self, scenario: str, peer: str, what: str, form: str, scale: float = 1.0
    ) -> str:
        """The median of what the server counted, by operation."""
        values = self.results.per_op(scenario, peer, what)
        return format(median(values) * scale, form) if values else NOTHING

    def rate(self, scenario: str, peer: str) -> str:
        """The median of the rates, and their range."""
        values = self.results.values(scenario, peer, "result.per_s")
        if not values:
            return NOTHING
        text = f"{median(values):,.0f}"
        if len(values) > 1:
            text += f" ({min(values):,.0f}–{max(values):,.0f}; {len(values)})"
        return text

    def titled(self, scenario: str, peer: str, title: str) -> str:
        """`title`, and what is wrong with the figures beside it."""
        if failure := self.results.failure(scenario, peer):
            return f"{title}: {failure}"
        return title + " (noisy)" * self.results.is_noisy(scenario, peer)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned for a terminal too."""
    widths = [max(len(row[at]) for row in (heads, *rows)) for at in range(len(heads))]

    def line(cells: Sequence[str]) -> str:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join('-' * (width + 2) for width in widths)}|"
    return "\n".join((line(heads), rule, *map(line, rows)))

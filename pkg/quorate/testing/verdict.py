"""What a checker says of a history: valid, invalid, or that it does not know.

Not knowing is not passing: a run with many unknown parts proves little, so it is told
apart and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .history import Operation

Ruling: TypeAlias = Literal["valid", "invalid", "unknown"]

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Verdict:
    """A ruling over `judged` operations, with the reason if it is not valid.

    `at` is the operation at which it was clear.
    """

    ruling: Ruling
    judged: int
    why: str = ""
    at: Operation | None = None

    @property
    def is_valid(self) -> bool:
        return self.ruling == "valid"

    def __str__(self) -> str:
        reason = f": {self.why}" if self.why else ""
        return f"{self.ruling} over {self.judged} operations{reason}"


def together(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict of many: invalid if one is, else unknown if one is, else valid."""
    all_of = tuple(verdicts)
    judged = sum(verdict.judged for verdict in all_of)
    for ruling in ("invalid", "unknown"):
        bad = [verdict for verdict in all_of if verdict.ruling == ruling]
        if bad:
            reasons = "; ".join(verdict.why for verdict in bad[:_SHOWN])
            why = f"{len(bad)} of {len(all_of)} {ruling}: {reasons}"
            return Verdict(bad[0].ruling, judged, why, bad[0].at)
    return Verdict("valid", judged)

"""When something is due, again and again: by the clock on the wall, or at even steps.

Cron arithmetic is cronsim's, which follows Debian's cron (Healthchecks runs on it).
What it does on the two odd days of a year is the rule here: a fixed time that the clock
skips fires once, as soon as the gap is over; one that comes twice fires the first time
only; an expression whose hour or minute begins with `*` goes by the time that really
passes, and so neither rests nor hurries; so does one with seconds. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from quorate.core.errors import InvalidInput

SHORTEST_STEP_S = 1.0
LONGEST_STEP_S = 366 * 86_400.0
FIRST_LOOK_BACK_S = 120.0
YEAR_2000 = 946_684_800.0
SECONDS_TOO = 6

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class Timetable(Protocol):
    """Moments of wall time, in seconds since the epoch, in order and without end."""

    def after(self, moment: float) -> float:
        """The first one later than `moment`."""
        ...

    def latest(self, since: float, until: float, most: int) -> list[float]:
        """Those from `since` to `until`, both included; the last `most` of them."""
        ...


@dataclass(frozen=True, slots=True)
class Cron:
    """Five fields of cron, or six with seconds in front, in an IANA time zone.

    Names of days and months, `L`, `LW` and `#` are known, as are `@daily` and the like.
    Raises `InvalidInput` for what is not a timetable, or would never fire.
    """

    expression: str
    zone: str = "UTC"

    def __post_init__(self) -> None:
        _zone(self.zone)
        try:
            self.after(YEAR_2000)
        except (CronSimError, AttributeError, TypeError) as error:
            raise InvalidInput(
                f"{self.expression!r} is not a cron expression.",
                str(error),
                "Write five fields, such as '30 2 * * MON-FRI'; of six the first is "
                "seconds.",
            ) from error
        except StopIteration as error:
            raise InvalidInput(
                f"{self.expression!r} never fires.", "No day is like that."
            ) from error

    def after(self, moment: float) -> float:
        """The first firing later than `moment`."""
        return next(self._after(moment))

    def latest(self, since: float, until: float, most: int) -> list[float]:
        """The last `most` firings; looks back in growing steps, so that it is quick."""
        look_back_s, found = FIRST_LOOK_BACK_S, list[float]()
        start = math.inf
        while len(found) < most and start > since:
            start = max(since, until - look_back_s)
            # The first one that counts may be `start` itself.
            moments = self._after(math.nextafter(start, -math.inf))
            found = list(takewhile(lambda moment: moment <= until, moments))
            look_back_s *= 2
        return found[-most:]

    def _after(self, moment: float) -> Iterator[float]:
        zone = _zone(self.zone)
        local = datetime.fromtimestamp(math.floor(moment), zone)
        if moment != math.floor(moment) or moment < 0:
            local = datetime.fromtimestamp(math.floor(moment) - 1, zone)
        fields = ALIASES.get(self.expression, self.expression)
        if len(fields.split()) == SECONDS_TOO:
            # With seconds the library knows no odd days; a plain 0 says nothing new.
            fields = fields.strip().removeprefix("0 ")
        for found in CronSim(fields, local):
            # On the day with an hour too many a start in its second half comes first.
            if found.timestamp() > moment:
                yield found.timestamp()


@dataclass(frozen=True, slots=True)
class Every:
    """Even steps of so many seconds, counted from the epoch.

    So every process means the same moments, and 900 is each quarter of an hour.
    """

    step_s: float

    def __post_init__(self) -> None:
        if not SHORTEST_STEP_S <= self.step_s <= LONGEST_STEP_S:
            raise InvalidInput(
                f"A step of {self.step_s} s cannot be used.",
                "It must be between a second and a year.",
            )

    def after(self, moment: float) -> float:
        """The first firing later than `moment`."""
        return (math.floor(moment / self.step_s) + 1) * self.step_s

    def latest(self, since: float, until: float, most: int) -> list[float]:
        """The last `most` firings from `since` to `until`."""
        last = math.floor(until / self.step_s)
        first = max(math.ceil(since / self.step_s), last - most + 1)
        return [number * self.step_s for number in range(first, last + 1)]


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, TypeError, OSError) as error:
        raise InvalidInput(
            f"There is no time zone {name!r}.",
            "",
            "Give a name of the IANA list, such as Europe/Berlin or UTC.",
        ) from error

"""Removes the instances of sessions that have died, and doubts a massacre.

One that dies alone is removed at once. When many of a service vanish together, the
store keeps them as suspects, and whoever sweeps is handed some to probe: refuted, they
go; confirmed, they stay for another while. Several processes share the probing.
"""

from __future__ import annotations

from dataclasses import dataclass

from quorate.core.errors import StoreError
from quorate.lease.lease import LeaseTerms
from quorate.lease.sweeper import Room

from .ports import Doubt, RegistrySweep, Suspect
from .probing import Finding, Prober

MOST_ROUNDS = 1000
STAY_TTLS = 5.0


@dataclass(frozen=True, slots=True)
class SweepStats:
    """Counts since the start."""

    removed: int
    doubted: int
    refuted: int
    confirmed: int


class RegistrySweeper:
    """What the registry hands to the process's sweeper."""

    def __init__(self, sweep: RegistrySweep, prober: Prober, doubt: Doubt) -> None:
        self._sweep = sweep
        self._prober = prober
        self._doubt = doubt
        self._removed = self._doubted = self._refuted = self._confirmed = 0

    def room(self) -> Room:
        """For `Sweeper.add`."""
        mine, key = self._sweep.tag, self._sweep.index_key
        # Under another tag nobody is indexed; the key must lie there all the same.
        return Room(clean=self.clean, index_key=lambda tag: key.replace(mine, tag, 1))

    async def clean(self, tag: str, session: str) -> None:
        """Remove what the ended `session` had, or begin to doubt it."""
        if tag != self._sweep.tag:
            return
        for _ in range(MOST_ROUNDS):
            removal = await self._sweep.remove_dead(session, self._doubt)
            self._removed += removal.removed
            for suspect in removal.suspects:
                self._look_at(suspect)
            if removal.left <= 0 or not removal.removed:
                return

    def stats(self) -> SweepStats:
        """How many were removed, doubted, and what became of the doubts."""
        return SweepStats(self._removed, self._doubted, self._refuted, self._confirmed)

    def _look_at(self, suspect: Suspect) -> None:
        self._doubted += 1

        async def told(found: Finding) -> None:
            if found is Finding.UNSURE:
                return
            alive = found is Finding.THERE
            self._confirmed += alive
            try:
                gone = await self._sweep.settle(
                    suspect, alive=alive, stay_s=self._doubt.stay_s
                )
            except StoreError:
                return  # It is a suspect still, and probed again with the next sweep.
            self._refuted += gone

        self._prober.ask(suspect.info, told)


def doubt_of(terms: LeaseTerms, share: float, least: int) -> Doubt:
    """The doubt that fits sessions kept on these terms."""
    return Doubt(
        share=share,
        least=least,
        late_s=(terms.ttl_s - terms.renew_every_s) * 0.9,
        stay_s=terms.ttl_s * STAY_TTLS,
        probe_every_s=min(2.0, terms.ttl_s / 4),
    )

"""A backend as the settings want it: how its session is kept, how long it may wait."""

from __future__ import annotations

from quorate.backend import Backend
from quorate.core.events import Emit
from quorate.lease.lease import LeaseTerms
from quorate.wire.redis import WireLimits

from .tree import Settings

RETRIES_A_TTL = 15
"""A renewal that failed is tried again so often within one ttl."""


def backend_for(url: str, settings: Settings, emit: Emit) -> Backend:
    """The backend at `url`, not yet open. Raises `InvalidUrl`."""
    session, wire = settings.session, settings.wire
    return Backend(
        url,
        namespace=settings.namespace,
        terms=LeaseTerms(
            ttl_s=session.ttl_s,
            renew_every_s=session.renew_every_s,
            retry_every_s=session.ttl_s / RETRIES_A_TTL,
            max_stall_s=session.max_stall_s,
        ),
        limits=WireLimits(
            timeout_s=wire.timeout_s, connect_timeout_s=wire.connect_timeout_s
        ),
        emit=emit,
    )

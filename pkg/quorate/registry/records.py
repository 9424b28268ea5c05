"""An instance as it lies in a store, and back. Pure.

Four texts: the document never changes while an instance lives; who owns it, how it is
and whether it is in service change apart from it. Health is `<state> <rest as JSON>`,
admin is `<state> <why>`, the owner is `<session> <incarnation> <revision>`.
"""

from __future__ import annotations

from quorate.core.codec import decode, encode
from quorate.core.errors import InvalidInput, QuorateError
from quorate.verdict.model import HealthState, HealthStatus

from .model import AdminState, ServiceInfo

MAX_DOCUMENT_BYTES = 64 * 1024
MAX_HEALTH_BYTES = 8 * 1024
MAX_MESSAGE_CHARS = 1024
MICROS = 1_000_000

_STATIC = ("id", "name", "endpoint", "version", "metadata", "weight", "zone")


def document_of(info: ServiceInfo) -> bytes:
    """What stays the same; the same instance always gives the same bytes."""
    whole = info.to_dict()
    document = {part: whole[part] for part in _STATIC}
    document["metadata"] = dict(sorted(info.metadata.items()))
    return encode(document, "service document", MAX_DOCUMENT_BYTES)


def health_text(health: HealthStatus) -> bytes:
    """All of `health` but its state. Too long a message is cut, too much detail left
    out: a report about being ill must not fail because there is a lot to say."""
    rest: dict[str, object] = {
        "message": health.message[:MAX_MESSAGE_CHARS],
        "timestamp": health.timestamp,
    }
    details = {str(k): str(v) for k, v in health.details.items()}
    if details:
        text = encode({**rest, "details": details}, "health", 16 * 1024 * 1024)
        if len(text) <= MAX_HEALTH_BYTES:
            return text
    return encode(rest, "health", MAX_HEALTH_BYTES)


def read_instance(
    document: bytes, own: bytes, health: bytes, admin: bytes, *, suspect: bool
) -> ServiceInfo:
    """The instance in these texts. Raises `InvalidInput` for what is none."""
    try:
        session, incarnation, revision = own.decode().split(" ")
        known = decode(document, "service document")
        status = read_health(health)
        return ServiceInfo(
            **{part: known[part] for part in _STATIC if part in known},
            health=status,
            last_check=status.timestamp or None,
            registered_at=int(incarnation) / MICROS,
            session=session,
            incarnation=int(incarnation),
            revision=int(revision),
            admin_state=read_admin(admin),
            suspect=suspect,
        )
    except InvalidInput:
        raise
    except (QuorateError, ValueError, TypeError, AttributeError) as error:
        raise InvalidInput(
            "An instance in the registry cannot be read.",
            f"{type(error).__name__}: {error}",
            "It was written by a program that is not compatible.",
        ) from error


def read_health(text: bytes) -> HealthStatus:
    """The status in `<state> <rest>`; a state that is not known yet is unknown."""
    state, _, rest = text.decode().partition(" ")
    known = {each.value for each in HealthState}
    found = dict(decode(rest, "health") if rest else {})
    found["status"] = state if state in known else HealthState.UNKNOWN.value
    return HealthStatus.from_dict(found)


def read_admin(text: bytes) -> AdminState:
    """The state in `<state> <why>`; one that is not known yet gets no work."""
    state = text.decode().partition(" ")[0]
    known = {each.value for each in AdminState}
    return AdminState(state) if state in known else AdminState.MAINTENANCE

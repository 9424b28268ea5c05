"""Every error that Quorate raises, on one page.

Each says what happened, why, and what to do, and carries the three as fields.

    QuorateError
    ├── InvalidInput (ValueError)      refused before any work was done
    │   ├── InvalidName                a lock, queue, service, key or task name
    │   ├── InvalidUrl                 an address that `connect` cannot use
    │   ├── InvalidPayload             a value that cannot travel (type, depth, size)
    │   └── InvalidSettings            settings, all faults at once
    ├── MissingCapability              the backend cannot do that, or an extra lacks
    ├── StoreError                     something about the server behind a backend
    │   ├── StoreUnavailable           it cannot be reached; nothing was sent
    │   ├── OutcomeUnknown             sent, but no answer came: it may have happened
    │   ├── StoreRefused               it answered with an error (memory, rights, …)
    │   └── NotReplicated              too few replicas had a grant: nothing is held
    ├── OwnershipError                 you are not, or no longer, the owner
    │   ├── SessionLostError           the process's session ended on the server
    │   ├── LockLostError              the lock ended while its block was running
    │   └── StaleTokenError            a later owner has already written
    ├── LockNotGranted (TimeoutError)  the wait was over before the lock was free
    ├── DeadlockError                  waiting would never end
    ├── NobodyHome (LookupError)       no instance of the service is fit to be called
    ├── QueueError
    │   ├── UnknownTask (LookupError)  no handler of that name, or no task of that id
    │   ├── TaskFailed                 the task ended in the dead letters
    │   ├── TaskTimeout (TimeoutError) an attempt ran longer than it may
    │   └── ResultPending (TimeoutError)  no result within the wait
    └── ConfigError
        ├── ConfigInvalid (ValueError) a source that does not parse or does not validate
        ├── ConfigConflict             compare-and-set lost: the value has moved on
        └── KeyMissing (KeyError)      no layer has the key and no default was given
"""

from __future__ import annotations

from typing import ClassVar


def words_of(error: BaseException) -> str:
    """The kind of `error` and what it says; of one that cannot even be read, why."""
    kind = type(error).__name__
    try:
        return f"{kind}: {error}"
    except Exception as unreadable:
        return f"{kind} (its text cannot be read: {type(unreadable).__name__})"


class QuorateError(Exception):
    """The root. `what` happened, `why`, and the `fix`; `reason` is a stable slug."""

    reason: ClassVar[str] = "error"

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        lines = [part for part in (self.what, self.why, self.fix) if part]
        return "\n  ".join(lines)

    def __reduce__(self) -> tuple[type[QuorateError], tuple[str, str, str]]:
        return (type(self), (self.what, self.why, self.fix))


class InvalidInput(QuorateError, ValueError):
    """The input was refused before any work was done; nothing has changed."""

    reason = "invalid_input"


class InvalidName(InvalidInput):
    """A name that cannot be used."""

    reason = "invalid_name"


class InvalidUrl(InvalidInput):
    """An address that no backend understands."""

    reason = "invalid_url"


class InvalidPayload(InvalidInput):
    """A value that cannot travel: wrong type, too deep, or too large."""

    reason = "invalid_payload"


class InvalidSettings(InvalidInput):
    """Settings with faults. `faults` lists every one of them, not only the first."""

    reason = "invalid_settings"

    def __init__(self, what: str, why: str = "", fix: str = "") -> None:
        super().__init__(what, why, fix)
        self.faults: tuple[str, ...] = tuple(why.split("\n  ")) if why else ()


class MissingCapability(QuorateError):
    """The backend in use does not offer this."""

    reason = "missing_capability"


class StoreError(QuorateError):
    """The server behind a backend did not do what was asked."""

    reason = "store_error"


class StoreUnavailable(StoreError):
    """The server cannot be reached. The command was not sent."""

    reason = "store_unavailable"


class OutcomeUnknown(StoreError):
    """The command was sent and no answer came: it may or may not have happened."""

    reason = "outcome_unknown"


class StoreRefused(StoreError):
    """The server answered with an error. `code` is its first word (`OOM`, `NOAUTH`)."""

    reason = "store_refused"

    @property
    def code(self) -> str:
        return self.why.split(" ", 1)[0] if self.why else ""


class NotReplicated(StoreError):
    """Too few replicas had a grant in time; it was given back, and nothing is held."""

    reason = "not_replicated"


class OwnershipError(QuorateError):
    """The caller is not the owner, or is no longer."""

    reason = "ownership"


class SessionLostError(OwnershipError):
    """The process's session ended on the server, and with it all of its claims."""

    reason = "session_lost"


class LockLostError(OwnershipError):
    """The lock ended before its block did; the block was stopped."""

    reason = "lock_lost"


class StaleTokenError(OwnershipError):
    """A later owner has written already; this write was refused."""

    reason = "stale_token"


class LockNotGranted(QuorateError, TimeoutError):
    """The lock was not free within the wait."""

    reason = "lock_not_granted"


class DeadlockError(QuorateError):
    """The owners wait for each other in a circle; this one was chosen to give way."""

    reason = "deadlock"


class NobodyHome(QuorateError, LookupError):
    """No instance of the service is fit to be called."""

    reason = "nobody_home"


class QueueError(QuorateError):
    """Something about a task."""

    reason = "queue_error"


class UnknownTask(QueueError, LookupError):
    """No handler of that name, or no task of that id."""

    reason = "unknown_task"


class TaskFailed(QueueError):
    """The task ended in the dead letters; `why` is its last error."""

    reason = "task_failed"


class TaskTimeout(QueueError, TimeoutError):
    """An attempt ran longer than its time limit."""

    reason = "task_timeout"


class ResultPending(QueueError, TimeoutError):
    """The task has no result yet."""

    reason = "result_pending"


class ConfigError(QuorateError):
    """Something about the configuration."""

    reason = "config_error"


class ConfigInvalid(ConfigError, ValueError):
    """A source that does not parse or does not validate; the last good values stay."""

    reason = "config_invalid"


class ConfigConflict(ConfigError):
    """Compare-and-set lost: the value has moved on since it was read."""

    reason = "config_conflict"


class KeyMissing(ConfigError, KeyError):
    """No layer has this key, and no default was given."""

    reason = "key_missing"

    __str__ = QuorateError.__str__

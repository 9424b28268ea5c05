"""What a caller of `acquire_lock` wants, checked before anything is done. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from quorate.core.errors import InvalidInput
from quorate.core.names import check_name

from .model import LockConfig, LockType, OnLoss, check_timeout, check_wait


@dataclass(frozen=True, slots=True)
class Wish:
    """One lock for one block. `owner` "" is the running task. Seconds."""

    name: str
    lock_type: LockType
    wait_s: float | None = None
    timeout_s: float | None = None
    label: str = ""
    on_loss: OnLoss = "cancel"
    owner: str = ""

    @property
    def shared(self) -> bool:
        return self.lock_type is LockType.SHARED

    def checked(self, config: LockConfig) -> Wish:
        """The same with what is left open filled in. Raises `InvalidInput`."""
        if not isinstance(self.lock_type, LockType):
            raise InvalidInput(
                f"{self.lock_type!r} is not a kind of lock.",
                fix=f"Use one of {', '.join(f'LockType.{t.name}' for t in LockType)}.",
            )
        if self.on_loss not in get_args(OnLoss):
            raise InvalidInput(
                f"on_loss = {self.on_loss!r} cannot be used.",
                fix="Use 'cancel' or 'flag'.",
            )
        check_wait(self.wait_s)
        if self.timeout_s is not None:
            check_timeout(self.timeout_s)
        return Wish(
            name=check_name(self.name, "lock"),
            lock_type=self.lock_type,
            wait_s=config.wait_s if self.wait_s is None else self.wait_s,
            timeout_s=config.timeout_of(self.timeout_s),
            label=check_name(self.label, "label") if self.label else "",
            on_loss=self.on_loss,
            owner=check_name(self.owner, "owner") if self.owner else "",
        )

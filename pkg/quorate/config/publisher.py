"""Writes into the shared store, and says beforehand what a write would do.

A write is checked against this process's validators before it is sent, and is taken in
here before it returns, so that the writer sees what it wrote.
"""

from __future__ import annotations

from quorate.core.clock import Clock
from quorate.core.errors import ConfigInvalid, QuorateError
from quorate.core.events import Emit
from quorate.core.fence import current_fence
from quorate.core.ids import new_task_id

from .assembly import Assembly
from .diff import diff
from .events import ConfigPublished
from .intake import Intake
from .layers import Content, explain
from .model import Draft, Layer, Write
from .sources.stored import StoreSource, loaded_from
from .store import ConfigStore
from .subscribers import Subscribers
from .tree import copied
from .writing import Effect, Terms, draft, foreseen


class Publisher:
    """The writing side of one manager."""

    def __init__(
        self,
        store: ConfigStore,
        source: StoreSource,
        assembly: Assembly,
        intake: Intake,
        emit: Emit,
        clock: Clock,
    ) -> None:
        self.store = store
        self.source = source
        self.published = 0
        self._assembly = assembly
        self._intake = intake
        self._emit = emit
        self._clock = clock

    async def write(self, writes: tuple[Write, ...], terms: Terms) -> int:
        """Let `writes` happen as one transaction; its revision."""
        ident = new_task_id(self._clock.now())
        planned = draft(ident, writes, terms, terms.fence or current_fence())
        if self._assembly.judges:
            self._assembly.preview(self._with(planned))
        revision = await self.store.commit(planned)
        self.published += 1
        self._emit(
            ConfigPublished(
                keys=tuple(write.key for write in planned.writes),
                revision=revision,
                author=planned.author,
                comment=planned.comment,
            )
        )
        try:
            await self._intake.look_now(self.source.name)
        except (QuorateError, OSError, TimeoutError):
            # It is written. That it cannot be read back yet, the follower has told.
            return revision
        return revision

    def effect_of(self, write: Write, subscribers: Subscribers) -> Effect:
        """What `write` would do in this process. Nothing is written."""
        planned = draft("try", (write,), Terms(), None)
        before = self._assembly.snapshot
        after, refused = before, ""
        try:
            after = self._assembly.preview(self._with(planned))
        except ConfigInvalid as error:
            refused = str(error)
        changes = diff(before.tree, after.tree)
        origins = explain(after, write.key).origins
        above = [origin for origin in origins if origin.layer > Layer.STORE]
        return Effect(
            key=write.key,
            before=copied(before.paths.get(write.key)),
            after=copied(after.paths.get(write.key)),
            changes=changes,
            hidden_by=above[-1] if above else None,
            refused=refused,
            reaches=subscribers.interested(tuple(one.key for one in changes)),
        )

    def _with(self, planned: Draft) -> dict[str, Content]:
        """All contents as if `planned` had happened."""
        contents = foreseen(self.source.contents, planned)
        content = Content(Layer.STORE, 0, self.source.name, loaded_from(contents))
        return self._assembly.with_contents(content)

"""The keys of one queue. All of them carry the queue's hash tag."""

from __future__ import annotations

from quorate.wire.keys import Keyspace, plain, sessions_key


def with_claims_key(tag: str) -> str:
    """The SET of sessions that have claims in any queue of this tag."""
    return f"{tag}:j::who"


def queues_of_key(tag: str, session: str) -> str:
    """The SET of queues in which a session has claims."""
    return f"{tag}:j::at:{session}"


def channels(tag: str) -> str:
    """What the channels of all processes begin with; the session id follows."""
    return f"{tag}:j:to:"


class QueueKeys:
    """Keys of one queue. A queue's name never makes the key of another's."""

    __slots__ = ("channels", "prefix", "queue", "sessions", "tag", "with_claims")

    def __init__(self, keys: Keyspace, queue: str) -> None:
        self.queue = queue
        self.tag = keys.queue_tag(queue)
        self.prefix = f"{self.tag}:j:{plain(queue).replace(':', '%3A')}:"
        self.sessions = sessions_key(self.tag)
        self.with_claims = with_claims_key(self.tag)
        self.channels = channels(self.tag)

    def queues_of(self, session: str) -> str:
        return queues_of_key(self.tag, session)

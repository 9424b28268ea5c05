"""What is to be written: checked, opened and put into one transaction. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quorate.core.codec import Json, encode
from quorate.core.errors import ConfigInvalid, InvalidInput, InvalidName
from quorate.core.fence import Fence

from .diff import KeyChange
from .layers import Origin
from .model import Commit, Contents, Draft, Write
from .tree import check_key, copied, nest, sections_of

MAX_AUTHOR = 255
MAX_COMMENT = 1000
MAX_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which conditions, and by whom and why, something is written."""

    expect: int | None = None
    fence: Fence | None = None
    author: str = ""
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change would do, before it is made.

    `hidden_by` is the stronger source that would keep it from having an effect here;
    `refused` says why a validator would not let it pass; `reaches` are the watched
    patterns that would be told.
    """

    key: str
    before: Json
    after: Json
    changes: tuple[KeyChange, ...]
    hidden_by: Origin | None
    refused: str
    reaches: tuple[str, ...]


def draft(
    ident: str, writes: Iterable[Write], terms: Terms, fence: Fence | None
) -> Draft:
    """The transaction of `writes`. Raises `InvalidInput` for whatever cannot be."""
    opened = tuple(_opened(write) for write in writes)
    _refuse_overlaps(opened)
    for what, text, limit in (
        ("author", terms.author, MAX_AUTHOR),
        ("comment", terms.comment, MAX_COMMENT),
    ):
        if not isinstance(text, str) or len(text) > limit:
            raise InvalidInput(
                f"The {what} must be text of at most {limit} characters."
            )
    if terms.expect is not None:
        _check_revision(terms.expect)
    return Draft(ident, opened, terms.expect, fence, terms.author, terms.comment)


def foreseen(contents: Contents, planned: Draft) -> Contents:
    """The contents as if `planned` were the next transaction."""
    revision = contents.cursor.revision + 1
    commit = Commit(revision, planned.id, 0.0, "", "", planned.writes)
    return contents.after((commit,))


def _opened(write: Write) -> Write:
    key = check_key(write.key)
    if write.expect is not None:
        _check_revision(write.expect)
    if write.delete:
        return write
    encode(write.value, f"value of {key}", MAX_BYTES)
    value = copied(write.value)
    if isinstance(value, dict):
        try:
            value = nest(value)
            for name, _ in Write(key, value).put():
                check_key(name)
        except (ConfigInvalid, InvalidName) as error:
            raise InvalidInput(
                f"The value of {key} cannot be written: {error.what}",
                error.why,
                error.fix,
            ) from error
    return Write(key, value, expect=write.expect)


def _refuse_overlaps(writes: tuple[Write, ...]) -> None:
    """Two writes around one another would leave open which one counts."""
    keys: set[str] = set()
    for write in writes:
        if write.key in keys:
            raise InvalidInput(f"{write.key} is written twice in one transaction.")
        keys.add(write.key)
    for key in keys:
        for around in sections_of(key):
            if around in keys:
                raise InvalidInput(
                    f"{around} and {key} cannot be written in one transaction.",
                    "One lies within the other.",
                )


def _check_revision(expect: object) -> None:
    if not isinstance(expect, int) or isinstance(expect, bool) or expect < 0:
        raise InvalidInput(
            f"{expect!r} cannot be an expected revision.",
            "Revisions are whole numbers from 0.",
            "Give the revision that you read; 0 means that it must not exist.",
        )

"""The sample file: every setting with its unit, its limits and its reason.

Generated from the declarations, so that it cannot say anything else than they do.
`python -m quorate.settings` prints it. Pure.
"""

from __future__ import annotations

import json
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, cast

from quorate.core.shape import Rule, plain, short

from .environment import variable_of
from .tree import Settings

HEAD = """\
# Every setting of Quorate, at its default, with its unit and its reason.
# Generated from the code: python -m quorate.settings
#
# Leave out what you do not change. ${VAR}, ${VAR:-default} and ${VAR:?message} are
# filled from the environment. A variable overrides the file: each setting's own is
# QUORATE_ and its path, such as QUORATE_QUEUE__CONCURRENCY; some have a short one.
"""


def sample() -> str:
    """The text of `config/quorate.yaml`."""
    return HEAD + "\n".join(_section(Settings, "", 0)) + "\n"


def _section(kind: type, path: str, depth: int) -> Iterator[str]:
    hints = typing.get_type_hints(kind)
    indent = "  " * depth
    for entry in fields(kind):
        rule: Rule = entry.metadata["rule"]
        name = rule.name or entry.name
        here = f"{path}.{name}" if path else name
        inner = hints[entry.name]
        if not depth or not is_dataclass(inner):
            yield ""
        if is_dataclass(inner):
            summary = (inner.__doc__ or "").strip().split("\n")[0]
            yield f"{indent}# {summary}"
            yield f"{indent}{name}:"
            yield from _section(cast(type, inner), here, depth + 1)
        else:
            yield from _comment(indent, _facts(inner, rule, here))
            default = None if entry.default is MISSING else entry.default
            yield f"{indent}{name}: {json.dumps(plain(default))}"


def _comment(indent: str, text: str) -> list[str]:
    start = f"{indent}# "
    return textwrap.wrap(
        text,
        88,
        initial_indent=start,
        subsequent_indent=start,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _facts(kind: Any, rule: Rule, path: str) -> str:
    facts = [rule.unit] if rule.unit else []
    if typing.get_origin(kind) is Literal:
        facts.append(" | ".join(typing.get_args(kind)))
    if rule.above is not None:
        facts.append(f"above {short(rule.above)}")
    if rule.at_least is not None:
        facts.append(f"at least {short(rule.at_least)}")
    if rule.at_most is not None:
        facts.append(f"at most {short(rule.at_most)}")
    known = f"[{', '.join(facts)}] " if facts else ""
    variables = ", ".join((*rule.env, variable_of(path))[:-1])
    return f"{known}{rule.why}" + (f" Variable: {variables}." if variables else "")

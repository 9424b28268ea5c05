"""How files behave: tasks, loops, cancellation, the environment, what is never done."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator

from .tree import Fault, House, Source, dotted, last_word, own_nodes

MAY_CREATE_TASKS = {"core/lifecycle.py": "the one owner of tasks"}
MAY_LOOP = {
    "core/lifecycle.py": "the one loop, around every role",
}
MAY_SEE_THE_ENVIRONMENT = ("settings.py", "settings/", "testing/")
MAY_PRINT = ("cli/", "console/")

TASK_MAKERS = {"create_task", "ensure_future", "TaskGroup"}
PASSES_ALL = {"CancelledError", "BaseException"}
ENVIRONMENT = {"environ", "environb", "getenv", "putenv"}
NEVER_IMPORTED = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "cPickle"}
NEVER_CALLED = {
    "eval", "exec", "compile", "__import__",
    "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load",
}  # fmt: skip
LUA = re.compile(r"redis\.p?call\s*\(|\b(KEYS|ARGV)\[\d")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def names_in(source: Source) -> Iterator[tuple[int, str]]:
    """Every name that a file speaks of, with its line; imported ones too."""
    for node in source.nodes():
        match node:
            case ast.Attribute(attr=name) | ast.Name(id=name):
                yield node.lineno, name
            case ast.ImportFrom(names=aliases):
                for alias in aliases:
                    yield node.lineno, alias.name


def one_maker_of_tasks(house: House) -> Iterator[Fault]:
    """Tasks are created by core/lifecycle.py alone, so that each has an owner."""
    for source in house.sources:
        if source.path in MAY_CREATE_TASKS:
            continue
        for line, name in names_in(source):
            if name in TASK_MAKERS:
                yield Fault(source.path, line, f"{name}: use Tasks.spawn instead")


def one_loop(house: House) -> Iterator[Fault]:
    """`while True` is said once; everybody else has a `tick`."""
    for source in house.sources:
        if source.path in MAY_LOOP:
            continue
        for node in source.nodes():
            match node:
                case ast.While(test=ast.Constant(value=value)) if value:
                    message = "an endless loop: make it a role with tick()"
                    yield Fault(source.path, node.lineno, message)


def cancellation_passes(house: House) -> Iterator[Fault]:
    """Who catches CancelledError or everything raises again."""
    for source in house.sources:
        for node in source.nodes():
            match node:
                case ast.ExceptHandler() if _catches_all(node) and not _raises(node):
                    message = "catches cancellation and does not raise again"
                    yield Fault(source.path, node.lineno, message)
                case ast.Call(args=kinds) if last_word(node) == "suppress":
                    if PASSES_ALL & {last_word(kind) for kind in kinds}:
                        yield Fault(source.path, node.lineno, "suppresses cancellation")


def no_silence(house: House) -> Iterator[Fault]:
    """An `Exception` that is caught is told, used or answered; never just dropped."""
    for source in house.sources:
        for node in source.nodes():
            match node:
                case ast.ExceptHandler(type=kind, body=body):
                    if "Exception" in _kinds(kind) and all(map(_is_nothing, body)):
                        yield Fault(source.path, node.lineno, "drops every Exception")
                case ast.Call(args=kinds) if last_word(node) == "suppress":
                    if "Exception" in {last_word(kind) for kind in kinds}:
                        yield Fault(source.path, node.lineno, "drops every Exception")


def _kinds(kind: ast.expr | None) -> set[str]:
    kinds = kind.elts if isinstance(kind, ast.Tuple) else [kind]
    return {last_word(each) for each in kinds}


def _catches_all(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or bool(_kinds(handler.type) & PASSES_ALL)


def _raises(handler: ast.ExceptHandler) -> bool:
    return any(isinstance(node, ast.Raise) for node in own_nodes(handler))


def _is_nothing(statement: ast.stmt) -> bool:
    match statement:
        case ast.Pass() | ast.Continue() | ast.Expr(value=ast.Constant()):
            return True
        case _:
            return False


def one_reader_of_the_environment(house: House) -> Iterator[Fault]:
    """Settings are read in one place, so that they can be validated whole."""
    for source in house.sources:
        if source.path.startswith(MAY_SEE_THE_ENVIRONMENT):
            continue
        for node in source.nodes():
            match node:
                case ast.Attribute(value=ast.Name(id="os"), attr=name):
                    names = {name}
                case ast.ImportFrom(module="os", names=aliases):
                    names = {alias.name for alias in aliases}
                case _:
                    continue
            for name in names & ENVIRONMENT:
                yield Fault(source.path, node.lineno, f"{name}: only settings read it")


def no_print(house: House) -> Iterator[Fault]:
    """Only the doors speak to the terminal."""
    for source in house.sources:
        if source.path.startswith(MAY_PRINT):
            continue
        for node in source.nodes():
            if isinstance(node, ast.Call) and dotted(node.func) in {"print", "pprint"}:
                yield Fault(source.path, node.lineno, "print: emit an event instead")


def nothing_dangerous(house: House) -> Iterator[Fault]:
    """Nothing that comes from outside is ever run as code."""
    for source in house.sources:
        for found in house.imports(source):
            if found.top in NEVER_IMPORTED:
                message = f"{found.top} runs what it reads: use core.codec"
                yield Fault(source.path, found.line, message)
        for node in source.nodes():
            if isinstance(node, ast.Call) and dotted(node.func) in NEVER_CALLED:
                yield Fault(source.path, node.lineno, f"never call {dotted(node.func)}")


def no_lua_in_python(house: House) -> Iterator[Fault]:
    """A script is a .lua file beside its module, not a string."""
    for source in house.sources:
        for node in source.nodes():
            match node:
                case ast.Constant(value=str() as text) if LUA.search(text):
                    yield Fault(source.path, node.lineno, "Lua in a string")


def nothing_unfinished(house: House) -> Iterator[Fault]:
    """No reminders and no stubs: what is not there yet has no file yet."""
    for source in house.sources:
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
            if token.type == tokenize.COMMENT and UNFINISHED.search(token.string):
                yield Fault(source.path, token.start[0], token.string)
        for line, name in names_in(source):
            if name == "NotImplementedError":
                yield Fault(source.path, line, "a stub")
    for path, text in house.lua.items():
        for line, words in enumerate(text.splitlines(), start=1):
            if "--" in words and UNFINISHED.search(words):
                yield Fault(path, line, words.strip())


RULES = (
    one_maker_of_tasks, one_loop, cancellation_passes, no_silence,
    one_reader_of_the_environment, no_print, nothing_dangerous, no_lua_in_python,
    nothing_unfinished,
)  # fmt: skip

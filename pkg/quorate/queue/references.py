"""How a function is found again in another process: as `module:qualname`.

Functions are never sent, only named. A worker imports the module, or loads the script
that was started by its path under another name, so that its `__main__` block does not
run again. What cannot be found in this way is refused before a process is started.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from quorate.core.errors import InvalidInput

MAIN = "__main__"
MAIN_IN_WORKER = "__quorate_main__"

_WAY_OUT = (
    "Define it with `def` at the top of a module, or keep the tasks in this process: "
    "start_workers(in_process=True)."
)


def reference_of(function: Callable[..., object]) -> str:
    """`module:qualname`, proven to lead back to `function`.

    Raises `InvalidInput` for lambdas, closures, methods of objects, and functions of a
    session without a file.
    """
    module, qualname = _names(function)
    shown = f"{module}:{qualname}" if qualname else repr(function)
    if not module or not qualname:
        raise InvalidInput(
            f"The handler {shown} cannot be named to a worker process.",
            "It is not a plain function of a module.",
            _WAY_OUT,
        )
    if "<" in qualname:
        raise InvalidInput(
            f"The handler {shown} cannot be named to a worker process.",
            "A lambda, or a function made inside another one, exists only here.",
            _WAY_OUT,
        )
    if module == MAIN and main_module()[1] is None and main_module()[0] is None:
        raise InvalidInput(
            f"The handler {shown} cannot be named to a worker process.",
            "It was typed into a session that has no file.",
            _WAY_OUT,
        )
    if not _is_same(_look_up(sys.modules.get(module), qualname), function):
        raise InvalidInput(
            f"The handler {shown} cannot be named to a worker process.",
            f"{module}:{qualname} leads to something else.",
            _WAY_OUT,
        )
    return f"{module}:{qualname}"


def resolve(reference: str, main: ModuleType | None = None) -> Callable[..., object]:
    """The function that `reference` names; `main` stands in for the script.

    Raises `InvalidInput` when it is not there.
    """
    module_name, found, qualname = reference.partition(":")
    if not found or not module_name or not qualname:
        raise InvalidInput(
            f"{reference!r} names no function.",
            "",
            "Write it as module:function, such as app.tasks:send_mail.",
        )
    if module_name == MAIN and main is not None:
        module = main
    else:
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise InvalidInput(
                f"The module of {reference} cannot be imported.",
                str(error),
                "Is it on the path of the worker? Start it from the same folder.",
            ) from error
    function = _look_up(module, qualname)
    if not callable(function):
        raise InvalidInput(f"{reference} is not a function of {module_name}.")
    return function


def load(module: str) -> ModuleType:
    """The module of this name. Raises `InvalidInput` with the place of the fault."""
    try:
        return importlib.import_module(module)
    except Exception as error:
        raise InvalidInput(
            f"The module {module} cannot be imported.",
            f"{type(error).__name__}: {error}{_where(error)}",
            "Mend it, or start from the folder that has it.",
        ) from error


def _where(error: Exception) -> str:
    """The last line outside of the import machinery; empty if there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return ""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith("<") and "importlib" not in frame.filename:
            is_ours = Path(frame.filename).parent == Path(__file__).parent
            return "" if is_ours else f" ({frame.filename}, line {frame.lineno})"
    return ""


def main_module() -> tuple[str | None, str | None]:
    """What was started: (name of its module, path of its script); each may be None."""
    main = sys.modules.get(MAIN)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return spec.name, None
    file = getattr(main, "__file__", None)
    return None, str(Path(file).resolve()) if file else None


def load_main(name: str | None, path: str | None) -> ModuleType | None:
    """The module that was started in the other process, loaded but not run as main."""
    if name:
        return importlib.import_module(name)
    if not path:
        return None
    spec = importlib.util.spec_from_file_location(MAIN_IN_WORKER, path)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"The script {path} cannot be loaded.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[MAIN_IN_WORKER] = module
    spec.loader.exec_module(module)
    return module


def task_name(function: Callable[..., object]) -> str:
    """`module.qualname`; of a script its stem, the same in every process."""
    module, qualname = _names(function)
    if module in (MAIN, MAIN_IN_WORKER):
        file = getattr(sys.modules.get(module), "__file__", None)
        spec = getattr(sys.modules.get(module), "__spec__", None)
        if module == MAIN and spec is not None and spec.name:
            module = spec.name
        elif file:
            module = Path(file).stem
    return f"{module}.{qualname}"


def _names(function: Callable[..., object]) -> tuple[str, str]:
    if getattr(function, "__self__", None) is not None:
        return "", ""
    module = getattr(function, "__module__", "") or ""
    return module, getattr(function, "__qualname__", "")


def _look_up(module: ModuleType | None, qualname: str) -> object:
    found: object = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _is_same(found: object, function: Callable[..., object]) -> bool:
    """The function itself, or a task declared of it."""
    return found is function or getattr(found, "run", None) is function

"""How a function is found again in another process."""

from __future__ import annotations

import sys
import types

import pytest

from quorate.core.errors import InvalidInput
from quorate.queue import references
from quorate.queue.declared import async_task
from quorate.queue.references import (
    load_main,
    main_module,
    reference_of,
    resolve,
    task_name,
)


def top(payload):
    return payload


class Holder:
    def method(self, payload):
        return payload

    @staticmethod
    def static(payload):
        return payload


@async_task(name="declared here")
async def declared(a: int) -> int:
    return a


def test_a_function_of_a_module_is_named_and_found():
    assert reference_of(top) == f"{__name__}:top"
    assert resolve(f"{__name__}:top") is top
    assert reference_of(Holder.static) == f"{__name__}:Holder.static"
    assert resolve(f"{__name__}:Holder.static") is Holder.static


def test_a_declared_task_is_found_by_the_function_that_it_is_made_of():
    assert reference_of(declared.run) == f"{__name__}:declared"


def closure():
    def inner(payload):
        return payload

    return inner


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda payload: payload, "lambda"),
        (closure(), "made inside another"),
        (Holder().method, "not a plain function"),
        (Holder(), "not a plain function"),
    ],
)
def test_what_exists_only_here_is_refused_with_the_way_out(function, why):
    with pytest.raises(InvalidInput, match=why) as refused:
        reference_of(function)

    assert "in_process=True" in refused.value.fix


def test_a_function_that_its_name_does_not_lead_to_is_refused(monkeypatch):
    original = top
    monkeypatch.setattr(sys.modules[__name__], "top", lambda payload: payload)

    with pytest.raises(InvalidInput, match="something else"):
        reference_of(original)


def test_a_session_without_a_file_is_refused(monkeypatch):
    main = types.ModuleType("__main__")
    exec("def typed(payload): return payload", main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)

    with pytest.raises(InvalidInput, match="has no file"):
        reference_of(main.typed)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("nothing", "names no function"),
        (":f", "names no function"),
        ("m:", "names no function"),
        ("no_such_module:f", "cannot be imported"),
        (f"{__name__}:missing", "not a function"),
        (f"{__name__}:pytest", "not a function"),
    ],
)
def test_a_reference_that_leads_nowhere_says_why(reference, says):
    with pytest.raises(InvalidInput, match=says):
        resolve(reference)


def test_a_script_is_loaded_under_another_name_and_not_run(tmp_path, monkeypatch):
    script = tmp_path / "my_script.py"
    script.write_text(
        "async def work(payload): return payload\n"
        "if __name__ == '__main__':\n    raise SystemExit('run as main')\n"
    )
    monkeypatch.setitem(sys.modules, references.MAIN_IN_WORKER, None)

    main = load_main(None, str(script))

    assert resolve("__main__:work", main) is main.work
    assert main.__name__ == references.MAIN_IN_WORKER
    assert task_name(main.work) == "my_script.work"


def test_a_module_that_was_started_is_imported_by_its_name():
    assert load_main("json.tool", None).__name__ == "json.tool"
    assert load_main(None, None) is None


def test_a_path_that_is_no_script_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be loaded"):
        load_main(None, str(tmp_path / "data.bin"))


def test_what_was_started_is_told_by_module_or_by_path(monkeypatch, tmp_path):
    main = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    main.__spec__ = None
    assert main_module() == (None, None)

    main.__file__ = str(tmp_path / "a.py")
    assert main_module() == (None, str(tmp_path / "a.py"))

    main.__spec__ = types.SimpleNamespace(name="pkg.app")
    assert main_module() == ("pkg.app", None)


def test_a_task_is_called_by_module_and_name(monkeypatch, tmp_path):
    main = types.ModuleType("__main__")
    main.__file__ = str(tmp_path / "orders.py")
    main.__spec__ = None
    exec("def work(payload): return payload", main.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", main)

    assert task_name(top) == f"{__name__}.top"
    assert task_name(main.work) == "orders.work"
    main.__spec__ = types.SimpleNamespace(name="shop.orders")
    assert task_name(main.work) == "shop.orders.work"

"""Files of three formats become the same tree, within the same limits."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quorate.config.formats import (
    MAX_BYTES,
    ConfigFormat,
    format_of,
    parse,
    write_json,
)
from quorate.core.errors import ConfigInvalid

YAML, TOML, JSON = ConfigFormat.YAML, ConfigFormat.TOML, ConfigFormat.JSON

WRITTEN = {
    YAML: b"a: 1\nb:\n  c: [x, 2.5, true]\n  d: 'no'\n",
    TOML: b"a = 1\n[b]\nc = ['x', 2.5, true]\nd = 'no'\n",
    JSON: b'{"a": 1, "b": {"c": ["x", 2.5, true], "d": "no"}}',
}


@pytest.mark.parametrize("kind", ConfigFormat)
def test_every_format_gives_the_same_tree(kind):
    parsed = parse(WRITTEN[kind], kind, "f")

    assert parsed.tree == {"a": 1, "b": {"c": ["x", 2.5, True], "d": "no"}}


@pytest.mark.parametrize("kind", ConfigFormat)
@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_an_empty_tree(kind, data):
    assert parse(data, kind, "f").tree == {}


def test_yaml_tells_the_line_of_every_key():
    parsed = parse(b"# head\na: 1\nb:\n  c: 2\n  d.e: 3\n", YAML, "f")

    assert parsed.lines == {"a": 2, "b": 3, "b.c": 4, "b.d.e": 5}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("012", 12),
        ("1e3", 1000.0),
        ("'5'", "5"),
        ('"true"', "true"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("~", None),
        ("", None),
        ("|\n  x\n  y\n", "x\ny\n"),
        ("{b: [1, {c: d}]}", {"b": [1, {"c": "d"}]}),
        ("*x", None),
    ],
)
def test_yaml_is_read_by_the_rules_of_1_2(text, value):
    if text == "*x":
        parsed = parse(b"k: &x [1]\na: *x\n", YAML, "f")
        assert parsed.tree == {"k": [1], "a": [1]}
    else:
        assert parse(f"a: {text}".encode(), YAML, "f").tree == {"a": value}


def test_dates_of_toml_become_text():
    parsed = parse(
        b"a = 2024-01-02\nb = 10:20:30\nc = 2024-01-02T03:04:05Z\n", TOML, "f"
    )

    assert parsed.tree == {
        "a": "2024-01-02",
        "b": "10:20:30",
        "c": "2024-01-02T03:04:05+00:00",
    }


def laughs(levels: int, width: int) -> str:
    lines = ["l0: &l0 [" + ",".join(["x"] * width) + "]"]
    for level in range(1, levels):
        below = ",".join([f"*l{level - 1}"] * width)
        lines.append(f"l{level}: &l{level} [{below}]")
    return "\n".join(lines)


REFUSED = [
    (YAML, laughs(9, 9), "stands for more than"),
    (YAML, laughs(20, 2), "stands for more than"),
    (YAML, "a: &x [*x]", "before its end"),
    (YAML, "a: &x {b: *x}", "before its end"),
    (YAML, "a: *x", "before its end"),
    (YAML, "a: 1\na: 2", "has the key 'a' twice (line 2)"),
    (YAML, "a: {b: 1, b: 2}", "has the key 'b' twice"),
    (YAML, "a: !!python/object/apply:os.system [x]", "has the tag"),
    (YAML, "a: !mine x", "has the tag"),
    (YAML, "a: !!str 5", "has the tag"),
    (YAML, "!!str a: 5", "not text"),
    (YAML, "a: 1\n---\nb: 2", "second document"),
    (YAML, "[" * 50_000, "nested deeper than 32"),
    (YAML, "a: " + "[" * 33 + "]" * 33, "nested deeper than 32"),
    (YAML, "a: " * 2, "not valid YAML (line 1)"),
    (YAML, "a:\n  b: 1\n c: 2\n", "not valid YAML (line 3)"),
    (YAML, "1: a", "not text"),
    (YAML, "true: a", "not text"),
    (YAML, "~: a", "not text"),
    (YAML, "? [a]\n: b", "not text"),
    (YAML, "<<: {a: 1}", "merge key"),
    (YAML, "a: .inf", "cannot travel"),
    (YAML, "a: .nan", "cannot travel"),
    (YAML, "a: 99999999999999999999", "beyond 64 bits"),
    (YAML, "a: \x00", "not valid YAML"),
    (YAML, "- a", "does not hold settings"),
    (YAML, "just text", "does not hold settings"),
    (YAML, "'': 1", "is empty"),
    (YAML, "a.b: 1\na: {b: 2}", "given twice"),
    (TOML, "a = ", "not valid TOML"),
    (TOML, "a = 1\na = 2", "not valid TOML"),
    (TOML, "a = inf", "cannot travel"),
    (TOML, "a = 99999999999999999999", "beyond 64 bits"),
    (TOML, "a = " + "[" * 100 + "]" * 100, "nested deeper than 32"),
    (TOML, "a = " + "[" * 100_000, "not valid TOML"),
    (JSON, "{", "not valid JSON"),
    (JSON, '{"a": 1} x', "not valid JSON"),
    (JSON, '{"a": 1, "a": 2}', "stands twice"),
    (JSON, '{"a": NaN}', "NaN is not JSON"),
    (JSON, '{"a": 1e999}', "1e999"),
    (JSON, '{"a": 99999999999999999999}', "beyond 64 bits"),
    (JSON, '{"a": ' + "[" * 100 + "]" * 100 + "}", "nested deeper than 32"),
    (JSON, '{"a": ' + "[" * 100_000, "not valid JSON"),
    (JSON, "[1]", "does not hold settings"),
    (JSON, "5", "does not hold settings"),
]


@pytest.mark.parametrize(("kind", "text", "told"), REFUSED)
def test_what_breaks_a_limit_is_refused_in_little_memory(kind, text, told):
    tracemalloc.start()

    with pytest.raises(ConfigInvalid) as refused:
        parse(text.encode(), kind, "f")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert told in str(refused.value)
    assert str(refused.value).startswith("f")
    assert peak < 32 * 1024 * 1024


def test_text_that_is_not_utf8_is_refused():
    with pytest.raises(ConfigInvalid, match="not UTF-8"):
        parse(b"a: \xff", YAML, "f")


def test_a_file_that_is_too_large_is_refused_before_it_is_read():
    with pytest.raises(ConfigInvalid, match="too large"):
        parse(b"#" * (MAX_BYTES + 1), YAML, "f")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.yaml", YAML), ("a.b.YML", YAML), ("/x/a.toml", TOML), ("a.json", JSON)],
)
def test_the_name_says_the_format(name, kind):
    assert format_of(name) is kind


@pytest.mark.parametrize("name", ["a", "a.ini", "yaml", "a.yaml.bak", ""])
def test_a_name_that_says_no_format_is_refused(name):
    with pytest.raises(ConfigInvalid, match="is not known"):
        format_of(name)


keys = st.text("abcdefg_-", min_size=1, max_size=8)
trees = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(keys, trees))
def test_json_comes_back_as_it_was(tree):
    assert parse(write_json(tree), JSON, "f").tree == tree


@given(st.dictionaries(keys, trees))
def test_json_in_quotes_means_the_same_in_yaml(tree):
    text = json.dumps(tree, ensure_ascii=False)

    assert parse(text.encode(), YAML, "f").tree == parse(text.encode(), JSON, "f").tree


@given(st.binary(max_size=200), st.sampled_from(list(ConfigFormat)))
def test_any_bytes_are_read_or_refused(data, kind):
    try:
        parsed = parse(data, kind, "f")
    except ConfigInvalid:
        return
    assert isinstance(parsed.tree, dict)

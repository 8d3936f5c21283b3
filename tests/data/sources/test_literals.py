import ast
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from src.data.sources import literals
from src.data.sources.literals import MAX_LINE_BYTES, parse_literal

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("'\"\\\n\t\r\0nxuUN{}[],:#"), max_size=12)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
KEYS = TEXT | st.integers() | st.booleans() | st.none() | FLOATS
VALUES = st.recursive(
    KEYS | st.binary(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)
MARKS = [
    "'",
    '"',
    "\\",
    ",",
    ":",
    "[",
    "]",
    "{",
    "}",
    "(",
    ")",
    "#",
    " ",
    "\n",
    "-",
    ".",
    "1",
    "e5",
    "r",
    "b",
    "u",
    "f",
]
MARKS += ["\\'", '\\"', "\\x41", "\\u0041", "\\/", "\\d", "\\N{DASH}", "''", "'a'", '"a"', "true", "None", "NaN", "\0"]


def alike(value, other):
    """Equal, and of the same types throughout (1, 1.0 and True are equal)."""
    return value == other and repr(value) == repr(other)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_what_python_writes_is_read(value):
    assert alike(parse_literal(repr(value)), value)


@settings(max_examples=100, deadline=None)
@given(VALUES, st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.sampled_from(MARKS)), max_size=4))
@example("", [(0.0, False, "'\\x'")])
def test_damaged_lines_are_read_as_python_or_json_reads_them(value, changes):
    line = repr(value)
    for place, replace, mark in changes:
        start = round(place * len(line))
        line = line[:start] + mark + line[start + replace :]
    expected = as_json(line, strict=False)
    if expected is FAILED:
        expected = as_python(line)
    try:
        found = parse_literal(line)
    except ValueError:
        assert expected is FAILED
    else:  # a mixture of both ({'a': true}) is read too, though neither reads it
        assert expected is FAILED or alike(found, expected)


FAILED = object()


def as_json(line, **options):
    def refuse(name):
        raise ValueError(name)

    try:
        return json.loads(line, parse_constant=refuse, **options)
    except (ValueError, RecursionError):
        return FAILED


def as_python(line):
    try:
        return ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return FAILED


@pytest.mark.parametrize(
    "line",
    [
        r"""{'a': 'it\'s', "b": 'say "so"', 'c': "it's"}""",
        r"""['"', "'", '\'', "\"", '\\', "\\'", '\\\'']""",
        r"""['\x41\x00\xe9', '\u00e9', '\U0001F600', '\101', '\0', '\N{EURO SIGN}', '\a\b\f\v\n\r\t']""",
        r"""['\ud83d', 'é', '😀', '\/', "\d"]""",
        r"""'\ud83d\ude00'""",  # two characters to Python, one to JSON
        "{'a': (1, 2,), 'b': [1, 2,], 'c': {1, 2}, 'd': {}, 'e': (), 'f': set(),}",
        "('a' 'b' \"c\")",
        "'''a 'b' c'''",
        '["""a "b" c""", 1]',
        "{'a': r'\\x', 'b': b'\\xff', 'c': u'd'}",
        "{'a': 1} # it's a comment",
        "[1_000, 0x1F, 0b1, -1, +1, 1e5, .5, 1., 1+2j, 1E400, -0.0]",
        "{1: 'int', True: 'again', None: 'none', 1.5: 'float'}",
        "{'a': 1, 'a': 2}",
        "  {'a': 'b'}  \n",
        "'one\\\ntwo'",
    ],
)
def test_python_literals_as_python_reads_them(line):
    assert alike(parse_literal(line), ast.literal_eval(line.strip()))


def test_lines_as_the_authors_wrote_them_need_no_slow_reader(monkeypatch):
    monkeypatch.setattr(literals, "ast", None)
    line = r"""{'a': 'say "so"', 'b': "it's", 'c': 'it\'s "so"\n', 'd': "\"\\", 'e': [[], 1.5]}"""
    found = {"a": 'say "so"', "b": "it's", "c": 'it\'s "so"\n', "d": '"\\', "e": [[], 1.5]}
    assert alike(parse_literal(line), found)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ('{"a": true, "b": null, "c": [1.5, "\\u00e9\\/"]}', {"a": True, "b": None, "c": [1.5, "é/"]}),
        ('"\\ud83d\\ude00"', "😀"),
        ('"it\'s"', "it's"),
    ],
)
def test_json_as_json_reads_it(line, value):
    assert alike(parse_literal(line), value)


def test_ten_thousand_brackets():
    for line in ("[" * 10_000, "[" * 10_000 + "]" * 10_000, "{'a':" * 10_000, "(" * 10_000, "-" * 100_000 + "1"):
        with pytest.raises(ValueError, match="neither JSON nor a Python literal"):
            parse_literal(line)
    assert parse_literal("[" * 90 + "'\\x41'" + "]" * 90) == ast.literal_eval("[" * 90 + "'A'" + "]" * 90)


def test_overlong_line():
    text = "x" * (MAX_LINE_BYTES - 2)
    assert parse_literal(f"'{text}'") == text
    with pytest.raises(ValueError, match="longer than 1000000 characters"):
        parse_literal(f"'{text}x'")


@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').system('touch X')",
        "{'asin': __import__('os').system('touch X')}",
        'f\'{open("X", "w")}\'',
        "[open('X', 'w') for _ in 'a']",
        "(lambda: open('X', 'w'))()",
        "(x := open('X', 'w'))",
        "{**{'a': open('X', 'w')}}",
        "[*open('X', 'w')]",
        "'a' if open('X', 'w') else 'b'",
        "'%s' % open('X', 'w')",
        "set(open('X', 'w'))",
        "import os; os.system('touch X')",
        "().__class__.__bases__[0].__subclasses__()",
        "'\\x41' + str(open('X', 'w'))",
        "9**9**9",
        "x",
    ],
)
def test_code_is_refused_and_not_run(code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="neither JSON nor a Python literal"):
        parse_literal(code)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", ["NaN", "[Infinity]", "{'a': -Infinity}", "nan", "inf", '{"a": NaN}'])
def test_what_is_no_number_is_refused(line):
    with pytest.raises(ValueError, match="neither JSON nor a Python literal"):
        parse_literal(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "'",
        '"',
        "'a\\'",
        "{'a': '\\x'}",
        "'\\u12'",
        "'\\N{no such name}'",
        "['a\n\\x41']",
        "['a\0\\x41']",
        "{[]: 1}",
        "{'a': 1}}",
        "9" * 5000,
        "\ufeff{}",
    ],
)
def test_damaged_literals_are_refused(line):
    with pytest.raises(ValueError, match="neither JSON nor a Python literal"):
        parse_literal(line)

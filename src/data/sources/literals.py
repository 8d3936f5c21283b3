"""Lines that hold one Python literal each, read at the speed of a JSON reader and without running anything."""

import ast
import json
import re
from typing import Any

MAX_LINE_BYTES = 1_000_000
"""A longer line is refused: a parser needs some 600 times the size of a dense literal."""

_SPECIAL = re.compile(r'["\\]')
_STRING = re.compile(r"""'((?:[^'\\]++|\\.)*+)'|"((?:[^"\\]++|\\.)*+)\"""")
_QUOTE_OR_ESCAPE = re.compile(r'"|\\.')
_AS_JSON = {'"': '\\"', "\\'": "'"} | {escape: escape for escape in ('\\"', "\\\\", "\\n", "\\r", "\\t")}


def parse_literal(line: str) -> Any:
    """Value of a JSON document or Python literal (strings, numbers, lists, dicts, True, False, None, tuples, sets).

    Python strings are rewritten as JSON, whose reader is compiled; what JSON cannot say goes to ``ast.literal_eval``,
    which builds values and calls nothing. The result is that of ``json.loads`` for a JSON document, and else that of
    ``ast.literal_eval`` wherever that reads the line.

    Raises ``ValueError``: the line is neither, or is too long.
    """
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"longer than {MAX_LINE_BYTES} characters")
    for rewrite in (str, _as_json):
        try:
            return _DECODER.decode(rewrite(line))
        except (ValueError, SyntaxError, RecursionError):  # an escape that ends too early, or means nothing; nesting
            pass
    try:
        return ast.literal_eval(line.strip())
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise ValueError(f"neither JSON nor a Python literal ({error})") from error


def _as_json(line: str) -> str:
    """Rewrite the strings that hold quotes or escapes one by one; in between, only the kind of quotes changes."""
    parts, place = [], 0
    while found := _SPECIAL.search(line, place):
        start = found.start()
        if line.count("'", place, start) % 2:  # inside a string that the last single quote opened
            start = line.rindex("'", place, start)
        string = _STRING.match(line, start)
        if string is None:
            raise ValueError("a string does not end")
        parts += [line[place:start].replace("'", '"'), _json_string(string)]
        place = string.end()
    return "".join([*parts, line[place:].replace("'", '"')])


def _json_string(string: re.Match[str]) -> str:
    content: str = string[2] if string[1] is None else string[1]
    try:
        return '"' + _QUOTE_OR_ESCAPE.sub(lambda found: _AS_JSON[found[0]], content) + '"'
    except KeyError:  # an escape that JSON does not have
        return json.dumps(ast.literal_eval(string[0]), ensure_ascii=False)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no Python literal")


_DECODER = json.JSONDecoder(strict=False, parse_constant=_refuse)

"""Labels of an item from a cell: names joined by a separator, or a list in any notation."""

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from src.data.sources.literals import parse_literal
from src.errors import DataError

logger = logging.getLogger(__name__)

ELEMENT = re.compile(r"""'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"|(?P<number>[+-]?\d++)(?:\.0*+)?|None|null""", re.DOTALL)
LIST = re.compile(rf"[\[(](?:\s|,|{ELEMENT.pattern})*+[\])]", re.DOTALL)
SEPARATORS = ("|", ";", ",", "\t", "/")


def read_labels(cells: Sequence[Any], separator: str, path: Path, name: str) -> list[list[str] | None]:
    """Labels of each item, sorted, without repetitions; None: unknown, empty: known to have none.

    A cell is text with ``separator`` between names, a list, a whole number or None; else ``DataError`` is raised, which
    names the table and the column.
    """
    labels = []
    for cell in cells:
        names = read_names(cell, separator)
        if names is None:
            raise DataError(
                f"{path}: column {name!r} should hold names joined by {separator!r}, or lists of text or whole "
                f"numbers, but holds {cell!r} ({type(cell).__name__})."
            )
        stripped = {name.strip() for name in names if name is not None}
        # Nothing, or a list of nulls alone: unknown. The separator alone, or an empty list: none.
        unknown = cell is None or cell != cell or (isinstance(cell, str) and not cell.strip()) or set(names) == {None}
        labels.append(None if unknown else sorted(stripped - {""}))
    plain = [cell for cell in cells if isinstance(cell, str) and not LIST.fullmatch(cell.strip())]
    others = Counter(other for cell in plain for other in SEPARATORS if other in cell)
    if others and not any(separator in cell for cell in plain):
        other, count = others.most_common(1)[0]
        example = next(cell for cell in plain if other in cell)
        logger.warning(
            f"{path}: dataset.label_separator={separator!r} occurs in no cell of column {name!r}, but {other!r} in "
            f"{count} of {len(plain)}, such as {example[:80]!r}; if it parts labels, set "
            f"dataset.label_separator={other!r}."
        )
    return labels


def warn_of_twins(names: Iterable[str]) -> None:
    """Say which labels differ from others in case or blanks alone."""
    alike = defaultdict(list)
    for name in sorted(names):
        alike["".join(name.split()).casefold()].append(name)
    twins = [" and ".join(map(repr, group)) for group in alike.values() if len(group) > 1]
    if twins:
        shown = "; ".join(twins[:20]) + ("; ..." if len(twins) > 20 else "")
        logger.warning("%d label(s) differ in case or spaces alone and stay apart: %s.", len(twins), shown)


def read_names(cell: Any, separator: str) -> list[str | None] | None:
    """The names in a cell; within, None for a null of a list. None: it holds something else."""
    if isinstance(cell, str):
        text = cell.strip()
        if not LIST.fullmatch(text):
            return list(cell.split(separator))
        return [_element(found) for found in ELEMENT.finditer(text[1:-1])]
    names: list[str | None] = []
    for one in cell if isinstance(cell, list) else [cell]:
        if one is None or one != one:
            names.append(None)
        elif isinstance(one, str):
            names.append(one)
        elif isinstance(one, (int, float, Decimal)) and not isinstance(one, bool) and one % 1 == 0:
            names.append(str(int(one)))
        else:
            return None
    return names


def _element(found: re.Match[str]) -> str | None:
    if found[0] in ("None", "null"):
        return None
    if found["number"]:
        return str(int(found["number"]))
    try:
        text = parse_literal(found[0])
    except ValueError:  # an escape that means nothing
        text = found[0][1:-1]
    return str(text).encode("utf-8", "replace").decode()

"""Interactions whose item no one knows: how many, which, and why that may be."""

import difflib
import logging
import re
import unicodedata
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence

logger = logging.getLogger(__name__)

WORTH_SAYING = 0.01  # a larger share is said on the console
DAMAGE = ("cells", "cannot_be_read", "empty_id")
INVISIBLE = re.compile(r"[\s\u200b-\u200f\u202a-\u202e\u2060\ufeff]+")

GUESSES: dict[str, Callable[[str], str]] = {
    "a decimal point": lambda text: re.sub(r"\.0+$", "", text),
    "leading zeros": lambda text: text.lstrip("0"),
    "upper and lower case": str.casefold,
    "blanks or invisible characters": lambda text: INVISIBLE.sub("", text),
    "the Unicode form of letters": lambda text: unicodedata.normalize("NFKC", text),
    "quotes": lambda text: text.strip("\"'`"),
    "a file's ending or folder": lambda text: re.sub(r"^.*[/\\]|\.\w{1,5}$", "", text),
    "a prefix or suffix without digits": lambda text: re.sub(r"^\D+|\D+$", "", text),
}


def describe_unmatched(commonest: Sequence[tuple[str, int]], known: Sequence[str]) -> str:
    """The commonest unknown ids beside their nearest known ones, and why they may differ.

    Args:
        commonest: Unknown ids with how often they occur.
        known: All known ids, sorted.
    """
    near: dict[str, tuple[str, str]] = {}
    for reason, simplify in GUESSES.items():
        missing = {simplify(one): one for one, _ in commonest if one not in near and simplify(one)}
        for other in known if missing else ():
            if (one := missing.get(simplify(other))) is not None:
                near.setdefault(one, (other, reason))
    shown = []
    for one, count in commonest:
        place = bisect(known, one)
        others = difflib.get_close_matches(one, known[max(0, place - 200) : place + 200], n=1)
        nearest = near[one][0] if one in near else next(iter(others), None)
        shown.append(
            f"{one!r} ({count} times, " + ("none known is near)" if nearest is None else f"nearest known {nearest!r})")
        )
    reasons = " and ".join(dict.fromkeys(reason for _, reason in near.values()))
    guess = f"the ids differ in {reasons}" if reasons else "the item table lacks these items"
    return f"the commonest are {', '.join(shown)}. Perhaps {guess}."


def warn_of_losses(dropped: Mapping[str, int], n_read: int) -> None:
    """Say which kinds of rows were lost to damage, where they are many."""
    for reason, count in dropped.items():
        if any(mark in reason for mark in DAMAGE) and count > WORTH_SAYING * (n_read + count):
            logger.warning("%d %s, beside %d interactions that were read.", count, reason.replace("_", " "), n_read)

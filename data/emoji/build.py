"""Build the emoji dataset of this folder from two public npm packages.

Fetch both packages first, then give their paths; the script itself reads nothing from the network:

    npm pack emoji-datasource-twitter@16.0.0
    npm pack cldr-annotations-full@48.2.0
    python data/emoji/build.py emoji-datasource-twitter-16.0.0.tgz cldr-annotations-full-48.2.0.tgz

The same packages always give the same bytes. What every step keeps and drops is written to ``build_report.json``.
"""

import argparse
import hashlib
import io
import json
import logging
import shutil
import tarfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

logger = logging.getLogger("build")

VARIATION_SELECTOR, JOINER = "\ufe0f", "\u200d"
IMAGES_IN_PACKAGE = "package/img/twitter/64/"
MIN_ITEMS = 10  # of a subcategory to be a label
MIN_ITEMS_PER_USER = 2
MAX_LABEL_JACCARD = 0.5

# CLDR's parents that are not the locale's own name cut short (supplemental data, parentLocales).
EXTRA_PARENTS = {
    "en-AU": "en-001",
    "en-GB": "en-001",
    "en-IN": "en-001",
    "es-MX": "es-419",
    "es-US": "es-419",
    "hi-Latn": "en-IN",
    "sr-Cyrl-BA": "sr",
}
PERSON, CHILD = "\U0001f9d1", "\U0001f9d2"
# Gendered or aged twins that Unicode encodes as characters of their own.
NEUTRAL = {
    "\U0001f468": PERSON,  # man
    "\U0001f469": PERSON,  # woman
    "\U0001f466": CHILD,  # boy
    "\U0001f467": CHILD,  # girl
    "\U0001f474": "\U0001f9d3",  # old man
    "\U0001f475": "\U0001f9d3",  # old woman
    "\U0001f934": "\U0001fac5",  # prince
    "\U0001f478": "\U0001fac5",  # princess
    "\U0001f46b": "\U0001f46d",  # woman and man holding hands
    "\U0001f46c": "\U0001f46d",  # men holding hands
}
SAME_GROUP = {
    PERSON + JOINER + "\U0001f91d" + JOINER + PERSON: "\U0001f46d",  # people holding hands
    PERSON + JOINER + "\U0001f384": "\U0001f385",  # Mx Claus with Santa
    "\U0001f936": "\U0001f385",  # Mrs Claus with Santa
}
VARIANT_MARKS = {"\u2640", "\u2642", "\u27a1", *map(chr, range(0x1F9B0, 0x1F9B4)), *map(chr, range(0x1F3FB, 0x1F400))}
FAMILY = "\U0001f46a"


def base_character(character: str) -> str:
    """Map an emoji to the character it varies: gender, hair, skin, direction and age-neutral twins are taken away.

    A flag of two regional letters, a flag of tag characters and a keycap stay as they are. A person joined with an
    object keeps the object (an astronaut is no cook); any other joined sequence becomes its first character, since the
    rest only changes how that one is drawn (black cat, mending heart). All families are one group.
    """
    parts = [part for part in character.split(JOINER) if part not in VARIANT_MARKS] or [character]
    parts = ["".join(c for c in part if len(part) == 1 or c not in VARIANT_MARKS) for part in parts]
    parts = [NEUTRAL.get(part, part) for part in parts]
    if len(parts) > 1 and set(parts) <= {PERSON, CHILD}:
        return FAMILY
    if parts[0] != PERSON:
        parts = parts[:1]
    joined = JOINER.join(parts)
    return SAME_GROUP.get(joined, joined)


def ancestors(locale: str) -> list[str]:
    """All locales that a locale inherits from: its name cut short, and CLDR's extra parents."""
    found: list[str] = []
    waiting = [locale]
    while waiting:
        current = waiting.pop()
        parents = [current.rsplit("-", 1)[0]] if "-" in current else []
        parents += [EXTRA_PARENTS[current]] if current in EXTRA_PARENTS else []
        waiting += parents
        found += parents
    return found


def load_emoji(package: tarfile.TarFile) -> dict[str, dict[str, Any]]:
    """Emoji that have an image, by character without variation selector; skin tones alone are no pictures."""
    emoji = {}
    for entry in json.loads(read_member(package, "package/emoji.json")):
        character = "".join(chr(int(code, 16)) for code in entry["unified"].split("-")).replace(VARIATION_SELECTOR, "")
        if entry["has_img_twitter"] and entry["category"] != "Component":
            emoji[character] = entry
    return emoji


def load_annotations(package: tarfile.TarFile, emoji: dict[str, dict[str, Any]]) -> dict[str, dict[str, set[str]]]:
    """Keywords of every locale as locale -> keyword -> characters; locales without keywords are left out."""
    annotations: dict[str, dict[str, set[str]]] = {}
    for name in sorted(package.getnames()):
        if not name.endswith("/annotations.json"):
            continue
        locale = name.split("/")[-2]
        keywords: dict[str, set[str]] = defaultdict(set)
        content = json.loads(read_member(package, name))["annotations"].get("annotations", {})
        for character, entry in content.items():
            plain = character.replace(VARIATION_SELECTOR, "")
            if plain in emoji:
                for keyword in entry.get("default", []):
                    keywords[keyword.strip()].add(plain)
        keywords.pop("", None)
        if keywords:
            annotations[locale] = dict(keywords)
    return annotations


def build_users(
    annotations: dict[str, dict[str, set[str]]], labels: dict[str, set[str]]
) -> tuple[dict[str, set[str]], dict[str, int]]:
    """Turn keywords into users ``locale:keyword`` and drop what would flatter the demonstration.

    Returns:
        Items of every kept user, and what was counted on the way.
    """
    every = [items for keywords in annotations.values() for items in keywords.values() if len(items) > 1]
    counts = {"users_before_filters": len(every), "interactions_before_filters": sum(map(len, every))}
    repeated = 0
    users: dict[str, set[str]] = {}
    for locale, keywords in annotations.items():
        above = [annotations.get(parent, {}) for parent in ancestors(locale)]
        for keyword, items in keywords.items():
            inherited = items & set().union(*(parent.get(keyword, set()) for parent in above))
            repeated += len(inherited)
            users[f"{locale}:{keyword}"] = items - inherited
    counts["interactions_repeating_a_parent_locale"] = repeated
    counts["users_with_one_item"] = sum(len(items) == 1 for items in users.values())
    users = {user: items for user, items in users.items() if len(items) >= MIN_ITEMS_PER_USER}
    disguised = {user for user, items in users.items() if any(nearly_equal(items, label) for label in labels.values())}
    counts["users_that_are_nearly_a_label"] = len(disguised)
    counts["interactions_of_users_that_are_nearly_a_label"] = sum(len(users[user]) for user in disguised)
    return {user: users[user] for user in sorted(users.keys() - disguised)}, counts


def nearly_equal(items: set[str], label: set[str]) -> bool:
    """Whether the Jaccard index of two sets is at least ``MAX_LABEL_JACCARD``."""
    shared = len(items & label)
    return shared >= MAX_LABEL_JACCARD * (len(items) + len(label) - shared)


def build_groups(images: dict[str, bytes]) -> dict[str, str]:
    """Group of every character: its base character; characters drawn by the same pixels share one, too."""
    groups = {character: base_character(character) for character in images}
    by_pixels: dict[str, list[str]] = defaultdict(list)
    for character in sorted(images):
        with Image.open(io.BytesIO(images[character])) as image:
            pixels = image.convert("RGBA")
        by_pixels[hashlib.sha256(pixels.tobytes()).hexdigest()].append(character)
    for twins in by_pixels.values():
        merged = {groups[twin] for twin in twins}
        groups = {character: min(merged) if group in merged else group for character, group in groups.items()}
    return groups


def read_member(package: tarfile.TarFile, name: str) -> bytes:
    """Content of one file of a package."""
    stream = package.extractfile(name)
    if stream is None:
        raise SystemExit(f"{package.name} should hold the file {name}, but it is a folder there; pack it again.")
    return stream.read()


def code_points(character: str) -> str:
    """Name of a character for ids: its code points in hex, joined by ``-``."""
    return "-".join(f"{ord(part):04x}" for part in character)


def build(emoji_package: tarfile.TarFile, cldr_package: tarfile.TarFile, target: Path) -> dict[str, Any]:
    """Write the dataset to ``target`` and return the report."""
    emoji = load_emoji(emoji_package)
    annotations = load_annotations(cldr_package, emoji)
    items = sorted(set().union(*(found for keywords in annotations.values() for found in keywords.values())))
    members: dict[str, set[str]] = defaultdict(set)
    for character in items:
        for field in ("category", "subcategory"):
            members[emoji[character][field]].add(character)
    categories = {emoji[character]["category"] for character in items}
    labels = {name: members[name] for name in sorted(members) if name in categories or len(members[name]) >= MIN_ITEMS}
    users, counts = build_users(annotations, labels)

    shutil.rmtree(target / "images", ignore_errors=True)
    (target / "images").mkdir(parents=True)
    images = {
        character: read_member(emoji_package, IMAGES_IN_PACKAGE + emoji[character]["image"]) for character in items
    }
    groups = build_groups(images)
    rows = []
    for character in items:
        name = code_points(character)
        (target / "images" / f"{name}.png").write_bytes(images[character])
        own = [emoji[character][field] for field in ("category", "subcategory")]
        rows.append({
            "item_id": name,
            "image": f"{name}.png",
            "labels": "|".join(label for label in own if label in labels),
            "image_group": code_points(groups[character]),
            "character": character,
            "name": emoji[character]["short_name"],
        })  # fmt: skip
    table = pd.DataFrame(rows)
    table.to_csv(target / "items.csv", index=False, lineterminator="\n")
    pairs = pd.DataFrame(
        [(user, code_points(item)) for user, found in users.items() for item in sorted(found)],
        columns=["user_id", "item_id"],
    )
    pairs.to_parquet(target / "interactions.parquet", index=False, compression="zstd", compression_level=19)
    report = {
        "items": len(items),
        "image_groups": table["image_group"].nunique(),
        "labels": len(labels),
        "labels_per_item": round(sum(map(len, labels.values())) / len(items), 3),
        "items_without_label": int((table["labels"] == "").sum()),
        "locales_with_keywords": len(annotations),
        **counts,
        "users": len(users),
        "interactions": len(pairs),
        "items_with_interactions": pairs["item_id"].nunique(),
        "largest_image_groups": dict(Counter(table["image_group"]).most_common(5)),
        "bytes": sum(len(image) for image in images.values()) + (target / "interactions.parquet").stat().st_size,
    }
    (target / "build_report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (target / "LICENSE-CLDR").write_bytes(read_member(cldr_package, "package/LICENSE"))
    (target / "LICENSE-emoji-data").write_bytes(read_member(emoji_package, "package/LICENSE"))
    return report


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("emoji_datasource", type=Path, help="emoji-datasource-twitter-16.0.0.tgz")
    parser.add_argument("cldr_annotations", type=Path, help="cldr-annotations-full-48.2.0.tgz")
    parser.add_argument("--target", type=Path, default=Path(__file__).parent, help="folder to write; default: this one")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with tarfile.open(arguments.emoji_datasource) as emoji, tarfile.open(arguments.cldr_annotations) as cldr:
        report = build(emoji, cldr, arguments.target)
    logger.info("%s", json.dumps(report, indent=2))


if __name__ == "__main__":
    main()

"""Pinterest social curation: who repinned what, and under which category most of them filed it.

The original kept pins with more than 10 repins and took the category of a pin's first repin. That threshold cannot give
the paper's 265,252 interactions for 27,080 images (9.8 each), so it is a setting, ``min_repins``.
"""

from pathlib import Path

import pandas as pd

from src.config import PinterestConfig
from src.data.sources.pairs import Delimited, read_columns
from src.data.sources.raw import WEB, RawTables, downloaded_path, require_file
from src.errors import DataError

REPIN_COLUMNS = ("pin_id", "user_id", "category_id", "board_id")


def raw_files(cfg: PinterestConfig) -> list[Path]:
    """The three tables; raises ``DataError`` when one is missing."""
    names = (cfg.repins_file, cfg.urls_file, cfg.categories_file)
    return [require_file(Path(cfg.raw_dir) / name, cfg) for name in names]


def read(cfg: PinterestConfig) -> RawTables:
    """Read repins, image addresses and categories.

    Raises:
        DataError: A file is missing or damaged, or no pin has enough repins.
    """
    repins_path, urls_path, categories_path = raw_files(cfg)
    repins, damaged = read_columns(repins_path, _layout(*REPIN_COLUMNS), REPIN_COLUMNS[:3])
    dropped = {"repins_that_cannot_be_read": damaged}
    counts = repins["pin_id"].cat.codes.value_counts()
    kept = repins["pin_id"].cat.codes.isin(counts.index[counts >= cfg.min_repins]).to_numpy()
    dropped["repins_of_pins_with_too_few"] = int((~kept).sum())
    repins = repins[kept]
    if repins.empty:
        raise DataError(
            f"{repins_path} should hold pins with at least {cfg.min_repins} repins, but holds none; set "
            "dataset.min_repins lower."
        )
    repins = repins.assign(pin_id=repins["pin_id"].cat.remove_unused_categories())
    names = _read_names(categories_path)
    votes = vote(repins["pin_id"], repins["category_id"], names)
    urls, damaged = read_columns(urls_path, _layout("pin_id", "url"), ("pin_id", "url"))
    dropped["addresses_that_cannot_be_read"] = damaged
    urls = urls[urls["pin_id"].isin(votes.index) & urls["url"].astype(str).str.startswith(WEB)]
    dropped["addresses_repeated"] = int(urls["pin_id"].duplicated().sum())
    address = urls.drop_duplicates("pin_id").set_index("pin_id")["url"].astype(str).to_dict()
    unsure = votes["agreement"] < cfg.min_agreement
    labels = [
        [name] if isinstance(name, str) and not low else None for name, low in zip(votes["label"], unsure, strict=True)
    ]
    paths = [downloaded_path(address[pin]) if pin in address else None for pin in votes.index]
    items = pd.DataFrame(
        {"item_id": votes.index.to_numpy(), "image_path": paths, "labels": labels, "image_group": None}, dtype=object
    )
    notes = {
        "average_agreement": float(votes["agreement"].mean()),
        "pins_with_agreement_below_half": int((votes["agreement"] < 0.5).sum()),
        "pins_whose_majority_is_a_tie": int(votes["tie"].sum()),
        "pins_without_known_category": int(votes["label"].isna().sum()),
        "pins_below_min_agreement": int((unsure & votes["label"].notna()).sum()),
    }
    interactions = repins[["user_id", "pin_id"]].set_axis(["user_id", "item_id"], axis=1)
    return RawTables(items, interactions, dropped, {downloaded_path(url): url for url in address.values()}, notes)


def vote(pin_id: pd.Series, category_id: pd.Series, names: dict[str, str]) -> pd.DataFrame:
    """The category that most repins of a pin name; among equals, the first by name.

    Args:
        pin_id: Pin of each repin, categorical, every category in use.
        category_id: Category of each repin, categorical.
        names: Name of each known category; other categories have no vote.

    Returns:
        By pin: ``label`` (None without a known category), ``agreement`` (share of the pin's repins, 0 to 1), ``tie``.
    """
    filed = pd.DataFrame({"pin": pin_id, "label": category_id.astype(str).map(names)})
    counts = filed.dropna().groupby(["pin", "label"], observed=True).size().rename("n").reset_index()
    counts = counts.sort_values(["pin", "n", "label"], ascending=[True, False, True])
    largest = counts["n"] == counts.groupby("pin", observed=True)["n"].transform("max")
    winner = counts.drop_duplicates("pin").set_index("pin").reindex(pin_id.cat.categories)
    return pd.DataFrame(
        {
            "label": winner["label"].astype(object).where(winner["label"].notna(), None),
            "agreement": winner["n"].fillna(0) / filed.groupby("pin", observed=True).size(),
            "tie": counts[largest].groupby("pin", observed=True).size().reindex(winner.index, fill_value=0) > 1,
        }
    )


def _read_names(path: Path) -> dict[str, str]:
    table, _ = read_columns(path, _layout("name", "label_id"), ("name", "label_id"))
    names = {label: name for label, name in table[["label_id", "name"]].astype(str).itertuples(index=False) if name}
    if not names:
        raise DataError(f"{path} should hold one category a line as name|label_id, but holds none; get it again.")
    return names


def _layout(*columns: str) -> Delimited:
    return Delimited("|", columns, quoted=False)

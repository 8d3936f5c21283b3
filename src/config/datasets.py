"""Schemas of the datasets and their sources."""

from dataclasses import dataclass

from omegaconf import MISSING

from src.config.setting import CHANGED, option, setting
from src.config.store import schema

CLASSIFICATION, REGRESSION = "classification", "regression"
HASH, TIME = "hash", "time"


@dataclass
class DatasetConfig:
    """What every dataset has; a source adds its own. A setting that names a run names the prepared data."""

    name: str = setting(MISSING, "folder of everything that is made of it")
    source: str = setting(MISSING, "module of src/data/sources/ that reads the raw files")
    raw_dir: str = option(MISSING, "folder of the raw tables")
    images_dir: str | None = option(
        MISSING, "folder of the images, or address (s3://...); no image path may leave it; null: no images"
    )
    obtain: str = option("", "where to get the raw files, shown when they are missing")
    raw_urls: list[str] = option([], "raw files that download=true fetches; a .zip is unpacked")
    licence: str = option("", "of the data, shown on the card of an exported model")
    single_label: bool = setting(False, "exactly one label an item: top-1 accuracy is reported too")
    min_items_per_label: int = setting(1, "a label with fewer items is dropped", within="[0, inf)")
    label_levels: str | None = setting(None, "between a label's levels; a rare one becomes its parent")
    min_items_per_user: int = setting(1, "a user with fewer distinct items is dropped", within="[0, inf)")
    split: str = setting(
        HASH,
        "hash: six folds at random; time: one fold, whose test items were met last",
        choices=f"{HASH} | {TIME}",
        names_run=CHANGED,
    )
    store_size: int = setting(256, "short side of the stored images, pixels", within="[1, inf)")
    eval_crop: float = option(0.875, "side of the centre crop for evaluation, share of the short side", within="(0, 1]")
    min_image_side: int = setting(8, "an image with a shorter side is refused, pixels", within="[1, inf)")
    max_aspect_ratio: float = setting(4.0, "of sides; a longer image is centre-cropped", within="[1, inf)")
    max_image_pixels: int = setting(100_000_000, "a larger image is refused before it is decoded", within="[1, inf)")
    paper: dict[str, float] = option({}, "the paper's Table 2, shown beside ours")
    paper_results: dict[str, dict[str, float]] = option({}, "the paper's Tables 3 to 5, shown beside ours")

    @property
    def task(self) -> str:
        """Whether classes or numbers are predicted."""
        return CLASSIFICATION

    @property
    def has_images(self) -> bool:
        """Whether there are images; without, items are described by their interactions alone."""
        return self.images_dir is not None


@schema("dataset", "tabular")
@dataclass
class TabularConfig(DatasetConfig):
    """Items and interactions as two CSV or Parquet tables."""

    source: str = setting("tabular", "module of src/data/sources/ that reads the raw files")
    items_file: str | None = setting(
        "items.csv",
        "table of the items: .csv, .tsv or .txt (also .gz, .zst), .parquet, or a folder of parts; null: those that "
        "interactions name",
    )
    interactions_file: str | None = setting("interactions.csv", "table of the interactions, alike; null: none")
    delimiter: str | None = setting(
        None, "between the cells of text tables; null: what gives the columns", names_run=CHANGED
    )
    encoding: str | None = setting(
        None, "of text tables; null: by byte order mark, else UTF-8, else cp1252", names_run=CHANGED
    )
    item_column: str = setting("item_id", "in both tables")
    image_column: str | None = setting(
        "image", "path below images_dir, or a web address; an empty cell: no image; null: no images"
    )
    image_separator: str | None = setting(
        None, "between the paths of an item with several images; null: a cell is one path or a list", names_run=CHANGED
    )
    labels_column: str | None = setting(
        "labels", "an empty cell: unknown; the separator alone: known to have none; null: no labels"
    )
    empty_is_none: bool = setting(False, "an empty cell of labels: known to have none", names_run=CHANGED)
    group_column: str | None = setting(None, "items that share a value never straddle a split; null: by image content")
    user_column: str = setting("user_id", "in the table of interactions")
    time_column: str | None = setting(
        None, "in the table of interactions: numbers or dates, for split=time", names_run=CHANGED
    )
    rating_column: str | None = setting(None, "in the table of interactions")
    min_rating: float | None = setting(None, "with rating_column: a lower rating is no interaction")
    label_separator: str = setting("|", "between the labels in a cell")
    value_columns: list[str] = setting([], "numbers to predict in place of labels: regression")

    @property
    def task(self) -> str:
        """Numbers where there are columns of them."""
        return REGRESSION if self.value_columns else CLASSIFICATION

    @property
    def has_images(self) -> bool:
        """Whether there are images, and a column that names them."""
        return None not in (self.images_dir, self.items_file, self.image_column)


@schema("dataset", "amazon")
@dataclass
class AmazonConfig(DatasetConfig):
    """Amazon reviews and metadata of 2014, one category."""

    source: str = setting("amazon", "module of src/data/sources/ that reads the raw files")
    category: str = setting(MISSING, "as in the file names, e.g. Toys_and_Games")
    root: str = setting(MISSING, "first level of its category paths, e.g. Toys & Games")
    reviews_file: str = setting("reviews_${.category}_5.json.gz", "JSON, one review a line")
    metadata_file: str = setting("meta_${.category}.json.gz", "Python literals, one product a line")
    drop_leaf: bool = setting(True, "the last level of a category path is no label")
    label_levels: str | None = setting(" + ", "between a label's levels; a rare one becomes its parent")


@schema("dataset", "movielens")
@dataclass
class MovieLensConfig(DatasetConfig):
    """MovieLens of any size and age: movies and ratings as ``.dat`` or ``.csv``; posters called <movieId>.jpg."""

    source: str = setting("movielens", "module of src/data/sources/ that reads the raw files")
    min_rating: float | None = setting(None, "a lower rating is no interaction")


@schema("dataset", "pinterest")
@dataclass
class PinterestConfig(DatasetConfig):
    """Pinterest social curation: repins, addresses of the images, names of the categories."""

    source: str = setting("pinterest", "module of src/data/sources/ that reads the raw files")
    repins_file: str = setting("ImageDatasetRepinactivity.gz", "pin, user, category and board of each repin")
    urls_file: str = setting("ImageDatasetImagesURLs.gz", "address of each pin's image")
    categories_file: str = setting("ImageCategoryID.txt", "name of each category")
    min_repins: int = setting(11, "a pin with fewer is left out", within="[1, inf)")
    min_agreement: float = setting(0.0, "least share of repins in a pin's category, else unknown", within="[0, 1]")
    single_label: bool = setting(True, "exactly one label an item: top-1 accuracy is reported too")

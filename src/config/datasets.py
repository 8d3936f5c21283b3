"""Schemas of the datasets and their sources."""

from dataclasses import dataclass, field

from omegaconf import MISSING


@dataclass
class DatasetConfig:
    """What every dataset has; a source adds its own fields in a subclass."""

    name: str = MISSING
    source: str = MISSING
    raw_dir: str = MISSING  # folder of the raw tables
    images_dir: str = MISSING  # folder of the images; no image path may leave it
    obtain: str = ""  # where to get the raw files, shown when they are missing
    raw_urls: list[str] = field(default_factory=list)  # raw files that download=true fetches; a .zip is unpacked
    licence: str = ""
    single_label: bool = False  # exactly one label an item: top-1 accuracy is reported too
    min_items_per_label: int = 1  # a label with fewer items is dropped
    label_levels: str | None = None  # what parts the levels of a label; a rare label is then replaced by its parent
    min_items_per_user: int = 1  # a user with fewer distinct items is dropped
    store_size: int = 256  # short side of the stored images, pixels
    eval_crop: float = 0.875  # side of the centre crop for evaluation, share of the short side
    min_image_side: int = 8  # an image with a shorter side is refused, pixels
    max_aspect_ratio: float = 4.0  # a longer image is centre-cropped to this ratio of long to short side
    max_image_pixels: int = 100_000_000  # a larger image is refused before it is decoded
    paper: dict[str, float] = field(default_factory=dict)  # the paper's Table 2, shown beside ours
    paper_results: dict[str, dict[str, float]] = field(default_factory=dict)  # its Tables 3 to 5, likewise


@dataclass
class TabularConfig(DatasetConfig):
    """Items and interactions as two CSV or Parquet tables."""

    source: str = "tabular"
    items_file: str = "items.csv"
    interactions_file: str | None = "interactions.csv"  # null: a dataset without interactions
    item_column: str = "item_id"
    image_column: str = "image"  # path below images_dir
    labels_column: str | None = "labels"
    group_column: str | None = None  # items that share a value never straddle a split; null: by image content
    user_column: str = "user_id"
    rating_column: str | None = None
    min_rating: float | None = None  # with rating_column: a lower rating is no interaction
    label_separator: str = "|"
    value_columns: list[str] = field(default_factory=list)  # numbers to predict in place of labels: regression


@dataclass
class AmazonConfig(DatasetConfig):
    """Amazon reviews and metadata of 2014, one category."""

    source: str = "amazon"
    category: str = MISSING  # as in the file names, e.g. Toys_and_Games
    root: str = MISSING  # first level of its category paths, e.g. Toys & Games
    reviews_file: str = "reviews_${.category}_5.json.gz"
    metadata_file: str = "meta_${.category}.json.gz"
    drop_leaf: bool = True  # the last level of a category path is no label
    label_levels: str | None = " + "


@dataclass
class MovieLensConfig(DatasetConfig):
    """MovieLens of any size and age: movies and ratings as ``.dat`` or ``.csv``; posters called <movieId>.jpg."""

    source: str = "movielens"
    min_rating: float | None = None  # a lower rating is no interaction


@dataclass
class PinterestConfig(DatasetConfig):
    """Pinterest social curation: repins, addresses of the images, names of the categories."""

    source: str = "pinterest"
    repins_file: str = "ImageDatasetRepinactivity.gz"
    urls_file: str = "ImageDatasetImagesURLs.gz"
    categories_file: str = "ImageCategoryID.txt"
    min_repins: int = 11  # a pin with fewer is left out
    min_agreement: float = 0.0  # least share of repins in a pin's majority category, else its label is unknown
    single_label: bool = True

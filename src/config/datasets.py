"""Schemas of the datasets and their sources."""

from dataclasses import dataclass

from omegaconf import MISSING


@dataclass
class DatasetConfig:
    """What every dataset has; a source adds its own fields in a subclass."""

    name: str = MISSING
    source: str = MISSING
    raw_dir: str = MISSING  # folder of the raw tables
    images_dir: str = MISSING  # folder of the images; no image path may leave it
    obtain: str = ""  # where to get the raw files, shown when they are missing
    licence: str = ""
    single_label: bool = False  # exactly one label an item: top-1 accuracy is reported too
    min_items_per_label: int = 1  # a label with fewer items is dropped
    min_items_per_user: int = 1  # a user with fewer distinct items is dropped
    store_size: int = 256  # short side of the stored images, pixels
    eval_crop: float = 0.875  # side of the centre crop for evaluation, share of the short side
    min_image_side: int = 8  # an image with a shorter side is refused, pixels
    max_aspect_ratio: float = 4.0  # a longer image is centre-cropped to this ratio of long to short side
    max_image_pixels: int = 100_000_000  # a larger image is refused before it is decoded


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

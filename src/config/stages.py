"""Schemas of the five entry scripts."""

from dataclasses import dataclass, field
from typing import Any

from omegaconf import MISSING

from src.config.classifiers import AugmentationConfig, BackboneConfig, LossConfig, MethodConfig, TrainerConfig
from src.config.datasets import DatasetConfig
from src.config.recommenders import CF2LabelConfig


@dataclass
class DownloadConfig:
    """How raw files and images are fetched."""

    workers: int = 16  # images at a time
    attempts: int = 5
    backoff_s: float = 1.0  # wait before the second attempt; doubled for each further one
    timeout_s: float = 30.0  # longest wait for the next bytes
    image_seconds: float = 120.0  # longest time for one image
    max_image_bytes: int = 20_000_000
    max_file_bytes: int = 30_000_000_000
    frozen: bool = False  # fetch exactly what raw_dir/downloads.jsonl lists, with the content that it lists


@dataclass
class PrepareConfig:
    """``main_prepare_dataset.py``."""

    dataset: DatasetConfig = MISSING
    outputs_dir: str = "outputs"
    force: bool = False
    num_workers: int | None = None  # image decoders; null: one a core
    figures: bool = True  # items per label (Figure 2)
    verify: bool = False  # where nothing changed, read all files again and compare them with their checksums
    download: bool = False  # first fetch the raw files and images that are on the web
    downloads: DownloadConfig = field(default_factory=DownloadConfig)


@dataclass
class RecommenderTrainingConfig:
    """``main_train_recommender.py``."""

    dataset: DatasetConfig = MISSING
    recommender: Any = MISSING
    cf2label: CF2LabelConfig = field(default_factory=CF2LabelConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    fold: int = 0
    seed: int = 0
    leaks: list[str] = field(default_factory=list)  # held_out_interactions: as the original
    outputs_dir: str = "outputs"
    force: bool = False


@dataclass
class ClassifierTrainingConfig:
    """``main_train_classifier.py``."""

    dataset: DatasetConfig = MISSING
    recommender: Any = MISSING
    cf2label: CF2LabelConfig = field(default_factory=CF2LabelConfig)
    backbone: BackboneConfig = MISSING
    method: MethodConfig = MISSING
    optimizer: Any = MISSING
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    loggers: list[str] = field(default_factory=lambda: ["tensorboard"])  # mlflow, wandb; metrics.csv is always kept
    tuned: dict[str, dict[str, Any]] = field(default_factory=dict)  # label ratio -> settings chosen on validation
    tune: bool = False  # run the method's trials on validation and write the choice to configs/tuned/
    n_trials: int | None = None  # with tune, so many trials in all: the method's list, then a search; null: the list
    tuned_dir: str = "configs/tuned"
    study: str = "main"
    fold: int = 0
    seed: int = 0
    recommender_seed: int = 0
    mask_seed: int = 0
    label_ratio: float = 1.0
    alpha: float | None = None  # null: the tuned value, else the method's default
    distill_lambda: float | None = None  # likewise
    lr: float | None = None  # null: the tuned value, else the optimizer's default
    standardize_vectors: bool | None = None  # CF targets per dimension; null: the tuned value, else true
    image_size: int = 64
    epochs: int = 30  # an epoch is n_train / batch_size steps, whatever the label ratio
    batch_size: int = 32  # labelled images a step, over all devices
    unlabelled_batch_size: int | None = None  # images drawn in addition by methods that use them; null: batch_size
    precision: str = "32-true"
    gradient_clip: float = 0.0  # largest gradient norm; 0: no clipping
    ema_decay: float = 0.0  # of a moving average of the weights, which is validated and kept; 0: none
    early_stopping: int | None = None  # epochs without a better validation mAP; methods then differ in their budget
    leaks: list[str] = field(default_factory=list)  # test_epoch, held_out_interactions: as the original; needs a study
    outputs_dir: str = "outputs"
    force: bool = False


@dataclass
class PredictConfig:
    """``main_predict_testset.py``."""

    dataset: DatasetConfig = MISSING
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    study: str = "main"
    batch_size: int = 256
    images: str | None = None  # a folder, or a text file with one path a line: label these instead of the test set
    export: str | None = (
        None  # onnx | torch_export | safetensors: write a run as a model that works without this project
    )
    run: str | None = None  # with images or export, the run's directory; null: the study's best on validation
    top_k: int = 5  # with images, labels listed for each
    features: bool = False  # with images, also write backbone features and predicted CF vectors
    fusion: bool = False  # label the test items from their image and their interactions together
    recommender: Any = MISSING  # with fusion, the CF model
    recommender_seed: int = 0
    outputs_dir: str = "outputs"
    force: bool = False


@dataclass
class EvaluateConfig:
    """``main_evaluate_methods.py``."""

    dataset: DatasetConfig = MISSING
    study: str = "main"
    protocol: str = "valid"  # valid | paper
    baseline: str = "image_only"
    n_resamples: int = 10_000
    n_permutations: int = 10_000
    confidence_level: float = 0.95
    figures: bool = True
    seed: int = 0
    outputs_dir: str = "outputs"


@dataclass
class ExperimentConfig:
    """``main_run_experiment.py``: every combination of the lists is trained; what a method needs is added."""

    title: str = MISSING
    dataset: str = "emoji"
    settings: list[str] | None = None  # of the classifier: files of configs/settings/; null: the dataset's, if any
    recommenders: list[str] = field(default_factory=list)  # CF models to compare (Tables 3 and 4)
    methods: list[str] = field(default_factory=list)
    label_ratios: list[float] = field(default_factory=lambda: [1.0])
    alphas: list[float] = field(default_factory=list)  # of methods with a CF loss; empty: as tuned
    folds: list[int] = field(default_factory=lambda: [0, 1, 2])
    seeds: list[int] = field(default_factory=lambda: [0])
    study: str = "main"
    tune: bool = False  # choose each method's settings on validation instead of reporting runs
    overrides: list[str] = field(default_factory=list)  # of the stages, as they would stand on the command line

"""Schemas of the entry scripts."""

from dataclasses import dataclass
from typing import Any

from omegaconf import MISSING

from src.config.cf2label import CF2LabelConfig
from src.config.classifiers import AugmentationConfig, BackboneConfig, LossConfig, MethodConfig, TrainerConfig
from src.config.datasets import DatasetConfig
from src.config.setting import CHANGED, option, setting
from src.config.store import STAGE, schema

TEST_EPOCH, HELD_OUT_INTERACTIONS = "test_epoch", "held_out_interactions"
LEAKS = f"{TEST_EPOCH} | {HELD_OUT_INTERACTIONS}"
MAIN_STUDY = "main"


@dataclass
class StageConfig:
    """What every stage has."""

    dataset: DatasetConfig = option(MISSING, "a file of configs/dataset/")
    outputs_dir: str = option("outputs", "folder of all results")
    called_with: list[str] = option([], "the command's overrides, filled in when it starts")


@dataclass
class DownloadConfig:
    """How raw files and images are fetched."""

    workers: int = option(16, "images at a time", within="[1, inf)")
    attempts: int = option(5, "for one file", within="[1, inf)")
    backoff_s: float = option(1.0, "wait before the second attempt, doubled for each further one", within="[0, inf)")
    timeout_s: float = option(30.0, "longest wait for the next bytes, seconds", within="[0.001, inf)")
    image_seconds: float = option(120.0, "longest time for one image", within="[0.001, inf)")
    max_image_bytes: int = option(20_000_000, "a larger image is refused", within="[1, inf)")
    max_file_bytes: int = option(30_000_000_000, "a larger raw file is refused", within="[1, inf)")
    frozen: bool = option(False, "fetch exactly what raw_dir/downloads.jsonl lists, with the content that it lists")


@schema(STAGE, "prepare_dataset")
@dataclass
class PrepareConfig(StageConfig):
    """``main_prepare_dataset.py``."""

    dataset: DatasetConfig = setting(MISSING, "a file of configs/dataset/")
    force: bool = option(False, "prepare again although nothing changed")
    memory_gb: float | None = option(
        None, "memory for reading tables, GB; null: a quarter of the machine's", within="[0.1, inf)"
    )
    num_workers: int | None = option(None, "image decoders; null: one a core", within="[1, inf)")
    figures: bool = option(True, "draw items per label (Figure 2)")
    verify: bool = option(False, "where nothing changed, read all files again and compare them with their checksums")
    download: bool = option(False, "first fetch the raw files and images that are on the web")
    downloads: DownloadConfig = option(DownloadConfig, "how they are fetched")


@dataclass
class TrainingConfig(StageConfig):
    """What both training stages have."""

    recommender: Any = setting(MISSING, "a file of configs/recommender/: the CF model")
    cf2label: CF2LabelConfig = option(CF2LabelConfig, "labels from CF vectors alone")
    trainer: TrainerConfig = option(TrainerConfig, "where training runs")
    fold: int = setting(0, "which items are train, val and test", within="[0, 5]")
    seed: int = setting(0, "of everything random", within="[0, inf)")
    leaks: list[str] = setting([], "what the original let models see", choices=LEAKS, names_run=CHANGED)
    force: bool = option(False, "repeat a finished run")


@schema(STAGE, "train_recommender")
@dataclass
class RecommenderTrainingConfig(TrainingConfig):
    """``main_train_recommender.py``."""

    tune: bool = option(False, "choose the CF model's settings on interactions set aside, and write them to tuned_dir")
    n_trials: int | None = option(
        12, "with tune: the CF model's list, then a search, so many in all", within="[1, inf)"
    )
    tuned_dir: str = option("configs/recommender_tuned", "where tuned settings lie")


@schema(STAGE, "train_classifier")
@dataclass
class ClassifierTrainingConfig(TrainingConfig):
    """``main_train_classifier.py``. The CF model names a run by the vectors that the run needs, if any."""

    recommender: Any = option(MISSING, "a file of configs/recommender/: the CF model")
    backbone: BackboneConfig = setting(MISSING, "a file of configs/backbone/: the image network", costs_time=True)
    method: MethodConfig = setting(MISSING, "a file of configs/method/: what the network learns from")
    optimizer: Any = setting(MISSING, "a file of configs/optimizer/")
    loss: LossConfig = setting(LossConfig, "of labels and CF vectors")
    augmentation: AugmentationConfig = setting(AugmentationConfig, "of training images")
    loggers: list[str] = option(["tensorboard"], "beside metrics.csv", choices="tensorboard | mlflow | wandb")
    use_tuned: bool = option(True, "take what tuning chose, where a setting is null")
    tune: bool = option(False, "run the method's trials on validation and write the choice to tuned_dir")
    n_trials: int | None = option(
        None, "with tune: search with so many trials, in place of the method's list", within="[1, inf)"
    )
    tuned_dir: str = option("configs/tuned", "where tuned settings lie")
    study: str = setting(MAIN_STUDY, "runs of one study are compared")
    recommender_seed: int = option(0, "of the CF model", within="[0, inf)")
    mask_seed: int = setting(0, "of the draw of items that keep their labels", within="[0, inf)")
    label_ratio: float = setting(1.0, "share of train items that keep their labels", within="[0, 1]")
    alpha: float | None = setting(None, "weight of the CF loss; null: tuned", within="[0, inf)", tunable=True)
    distill_lambda: float | None = setting(None, "share of soft labels; null: tuned", within="[0, 1]", tunable=True)
    lr: float | None = setting(None, "peak learning rate; null: tuned", within="[0, inf)", tunable=True)
    standardize_vectors: bool | None = setting(None, "CF targets per dimension; null: tuned", tunable=True)
    hidden_size: int | None = setting(None, "label head's; 0: linear; null: tuned", within="[0, inf)", tunable=True)
    dropout: float | None = setting(None, "of the label head; null: tuned", within="[0, 1)", tunable=True)
    steps: int | None = setting(None, "in whole epochs; null: tuned, else epochs", within="[1, inf)", tunable=True)
    features: str = setting("learned", "by fine-tuning, or frozen: computed once", choices="learned | frozen")
    views: int = setting(2, "of an image with frozen features: as it is, and mirrored", within="[1, 2]")
    image_size: int = setting(64, "side of the network's input, pixels", within="[8, inf)", costs_time=True)
    eval_crop: float = setting(0.875, "evaluation crop, share of the short side; the dataset's", within="(0, 1]")
    epochs: int = setting(30, "of n_train / batch_size steps at any label ratio", within="[1, inf)", costs_time=True)
    batch_size: int = setting(32, "labelled images a step over all devices", within="[2, inf)", costs_time=True)
    unlabelled_batch_size: int | None = setting(
        None, "unlabelled images a step, at most; null: as many", within="[0, inf)", costs_time=True
    )
    precision: str = setting(
        "32-true",
        "number format; mixed: weights stay at 32 bits",
        choices="32-true | 16-mixed | bf16-mixed | 16-true | bf16-true | 64-true",
        costs_time=True,
    )
    gradient_clip: float = setting(0.0, "largest gradient norm; 0: no clipping", within="[0, inf)")
    early_stopping: int | None = setting(None, "epochs without gain; null: none", within="[1, inf)", names_run=CHANGED)


@schema(STAGE, "predict_testset")
@dataclass
class PredictConfig(StageConfig):
    """``main_predict_testset.py``."""

    trainer: TrainerConfig = option(TrainerConfig, "where it runs")
    study: str = option(MAIN_STUDY, "whose runs predict")
    batch_size: int = option(256, "images at a time", within="[1, inf)")
    cold_start: bool = option(False, "also rank the test items for users by the CF vectors that runs predict")
    recommender: Any = option(MISSING, "with cold_start, the CF model")
    recommender_seed: int = option(0, "of the CF model", within="[0, inf)")
    force: bool = option(False, "predict again")


@schema(STAGE, "use_model")
@dataclass
class UseConfig(StageConfig):
    """``main_use_model.py``."""

    trainer: TrainerConfig = option(TrainerConfig, "where it runs")
    study: str = option(MAIN_STUDY, "whose best run on validation is used")
    run: str | None = option(None, "directory of another run")
    images: str | None = option(None, "an image, a folder, or a list with one path a line: label these")
    top_k: int = option(5, "labels listed for each image", within="[1, inf)")
    features: bool = option(False, "also write backbone features and predicted CF vectors")
    demo: bool = option(False, "serve a page to try the model, to this machine alone")
    port: int = option(8000, "of the page; 0: any that is free", within="[0, 65535]")
    export: str | None = option(None, "write it as a stand-alone model", choices="onnx | torch_export | safetensors")
    batch_size: int = option(256, "images at a time", within="[1, inf)")


@schema(STAGE, "evaluate_methods")
@dataclass
class EvaluateConfig(StageConfig):
    """``main_evaluate_methods.py``."""

    study: str = option(MAIN_STUDY, "whose runs are compared")
    protocol: str = option("valid", "paper: as the original did, not valid inference", choices="valid | paper")
    baseline: str = option("image_only", "method that the others are compared with")
    n_resamples: int = option(10_000, "bootstrap replicates", within="[2, inf)")
    n_permutations: int = option(10_000, "swaps of the randomisation test", within="[1, inf)")
    figures: bool = option(True, "draw figures")
    seed: int = option(0, "of resampling", within="[0, inf)")


@schema(STAGE, "run_experiment")
@dataclass
class ExperimentConfig:
    """``main_run_experiment.py``: every combination of the lists is trained; what a method needs is added."""

    title: str = option(MISSING, "printed above the cells")
    dataset: str = option("emoji", "a file of configs/dataset/")
    recommenders: list[str] = option([], "CF models to compare (Tables 3 and 4)")
    methods: list[str] = option([], "files of configs/method/")
    label_ratios: list[float] = option([1.0], "shares of labelled train items", within="[0, 1]")
    alphas: list[float] = option([], "of methods with a CF loss; empty: as tuned", within="[0, inf)")
    folds: list[int] = option([0, 1, 2], "of the dataset", within="[0, 5]")
    seeds: list[int] = option([0], "of the runs", within="[0, inf)")
    study: str = option(MAIN_STUDY, "of the runs")
    tune: bool = option(False, "choose each method's settings on validation instead of reporting runs")
    all_interactions: bool = option(False, "compare CF models also with held-out items', as the original did")
    overrides: list[str] = option([], "of the stages, as they would stand on the command line")

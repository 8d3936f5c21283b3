"""Runs on frozen features against fine-tuning at 64 px: steps a second of whole runs with validation and checkpoints.

For emoji; OVERRIDES="dataset=movielens_posters outputs_dir=..." chooses another prepared dataset. Features are made
before, and their rate is printed.
"""

import os

from benchmarks.measure import compare, timed
from src.classifiers.runs import features_run, load_fold
from src.classifiers.settings import resolve
from src.classifiers.train import train_classifier
from src.config.stages import ClassifierTrainingConfig
from src.entry import compose_config, with_preset
from src.files import load_json

STEPS, BATCH = 1000, 64
GIVEN = os.environ.get("OVERRIDES", "dataset=emoji").split()
FINE_TUNED = ("preset=none", "features=learned", "image_size=64", "epochs=1", "optimizer.lr=0.001")
FROZEN = (f"steps={STEPS}", "lr=0.002", "hidden_size=512", "dropout=0.5")


def compose(*own: str) -> ClassifierTrainingConfig:
    """A config of this benchmark, without tuned settings."""
    shared = (f"batch_size={BATCH}", "study=benchmark", "use_tuned=false", "trainer.progress_bar=false", "force=true")
    cfg: ClassifierTrainingConfig = compose_config("train_classifier", with_preset([*GIVEN, *own, *shared]))
    return cfg


def train(*own: str) -> tuple[float, float]:
    """Train; returns steps and seconds."""
    cfg = compose(*own)
    seconds = timed(lambda: train_classifier(cfg))
    n_train = len(load_fold(cfg).split("train"))
    per_epoch = -(-n_train // BATCH)
    return float(per_epoch * -(-STEPS // per_epoch) if cfg.steps else per_epoch), seconds


def main() -> None:
    """Make the features, and measure both sides."""
    cfg = resolve(compose(*FROZEN))
    features = features_run(cfg, load_fold(cfg))
    if not features.finished:
        train(*FROZEN)
    about = load_json(features.directory / "metrics.json")
    rate, n_images, n_views = (about[name] for name in ("images_a_second", "n_images", "n_views"))
    print(f"features: {rate} images a second, of {n_images} in {n_views} views")
    sides = {"fine-tuning, 64 px": lambda: train(*FINE_TUNED), "frozen features": lambda: train(*FROZEN)}
    compare(f"frozen_features_{cfg.dataset.name}", "steps", sides)


if __name__ == "__main__":
    main()

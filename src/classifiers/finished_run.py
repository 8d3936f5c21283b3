"""A finished fine-tuning run: its network, and its scores of items."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from src.artifacts import CONFIG_FILE, MANIFEST_FILE, METRICS_FILE, PREPARED, Predictions
from src.classifiers.models.checkpoints import BEST, load_checkpoint, network_state
from src.classifiers.models.evaluation_batches import (
    CentreCrops,
    EvaluationBatches,
    average,
    batch_loader,
    predict_scores,
)
from src.classifiers.models.features import FrozenFeatures
from src.classifiers.models.heads import Heads
from src.classifiers.models.network import ImageFeatures, MultitaskNetwork
from src.classifiers.runs import runs_of_study
from src.classifiers.settings import FROZEN
from src.config.classifiers import BackboneConfig
from src.config.datasets import CLASSIFICATION, DatasetConfig
from src.data.folds import TEST, FoldData, load_items, load_manifest, open_fold
from src.data.images.decode import Limits
from src.data.images.store import ImageStore
from src.errors import ArtifactError, ConfigError
from src.files import load_json, load_yaml
from src.runs import content_hash, is_finished

logger = logging.getLogger(__name__)

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class FinishedRun:
    """A fine-tuning run: its directory, the settings and inputs that define it, and all its settings."""

    directory: Path
    definition: Mapping[str, Any]
    config: Mapping[str, Any]

    @classmethod
    def open(cls, directory: Path) -> Self:
        """The run in ``directory``; raises ``ArtifactError`` unless it is a finished fine-tuning run."""
        if not is_finished(directory) or not (directory / CONFIG_FILE).is_file():
            raise ArtifactError(f"{directory} holds no finished fine-tuning run; train one or give another: run=...")
        return cls(directory, load_json(directory / MANIFEST_FILE)["definition"], load_yaml(directory / CONFIG_FILE))

    @classmethod
    def choose(cls, dataset_dir: Path, study: str, run: str | None) -> Self:
        """The run in directory ``run``, or the one of ``study`` with the highest validation mAP.

        Raises:
            ArtifactError: There is no such run.
            ConfigError: The run belongs to another dataset.
        """
        if run is not None:
            directory = Path(run)
            if directory.resolve().parents[2:3] != (dataset_dir.resolve(),):
                raise ConfigError(f"run should be a directory below {dataset_dir / 'classifier'}, but is {run}.")
            return cls.open(directory)
        finished = [directory for directory, _ in runs_of_study(dataset_dir, study) if is_finished(directory)]
        scores = {directory: load_json(directory / METRICS_FILE).get("val_mAP") for directory in finished}
        scores = {directory: score for directory, score in scores.items() if score is not None}
        if not scores:
            raise ArtifactError(
                f"{dataset_dir} has no finished run of study {study!r}; train one first: python "
                f"main_train_classifier.py dataset={dataset_dir.name} method=cf_distill study={study}"
            )
        best = max(scores, key=lambda directory: scores[directory])
        logger.info("Using %s, whose validation mAP of %.4f is the highest of study %s.", best, scores[best], study)
        return cls.open(best)

    @property
    def prepared_dir(self) -> Path:
        """Folder of the prepared dataset."""
        return self.directory.parents[2] / PREPARED

    @cached_property
    def fold(self) -> FoldData:
        """The fold of its training; raises ``ArtifactError`` if the dataset has changed since."""
        fold = open_fold(self.prepared_dir, self.config["fold"], self.config["leaks"])
        if fold.items_digest != self.definition["inputs"]["items"]:
            raise ArtifactError(f"{self.directory} was trained before {self.prepared_dir} changed; train it again.")
        return fold

    @property
    def image_limits(self) -> DatasetConfig:
        """Sizes and limits of its training images."""
        stored = load_manifest(self.prepared_dir)["config"]["dataset"]
        return DatasetConfig(name=stored["name"], **{name: stored[name] for name in Limits.__annotations__})

    @property
    def is_frozen(self) -> bool:
        """Whether it was trained on frozen features."""
        return bool(self.config["features"] == FROZEN)

    @property
    def reconstructs_vectors(self) -> bool:
        """Whether it predicts CF vectors as its CF model has them."""
        method = self.config["method"]
        learned = method["vectors"] == "cf" and method["auxiliary_loss"] == "reconstruction"
        return "vectors" in self.definition["inputs"] and learned

    @cached_property
    def network(self) -> MultitaskNetwork:
        """The trained network, in evaluation mode, backbone included.

        Raises:
            ArtifactError: The checkpoint is damaged or of another run.
            ConfigError: The backbone's weights are no longer available.
        """
        settings = self.definition["settings"]
        backbone = BackboneConfig(**settings["backbone"])
        if self.is_frozen:
            image_features = ImageFeatures(backbone, settings["image_size"])
            return MultitaskNetwork(image_features, self._heads, settings["views"]).eval()
        image_features = ImageFeatures(replace(backbone, weights=None), settings["image_size"])
        network = MultitaskNetwork(image_features, self._heads)
        network.load_state_dict(self._state)
        return network.eval()

    @cached_property
    def _state(self) -> dict[str, torch.Tensor]:
        return network_state(load_checkpoint(self.directory / BEST), content_hash(self.definition))

    @property
    def _heads(self) -> Heads:
        prefix = "heads."
        return Heads.from_state({k.removeprefix(prefix): v for k, v in self._state.items() if k.startswith(prefix)})

    def score(self, item_id: np.ndarray, store: ImageStore, batch_size: int, num_workers: int = 0) -> np.ndarray:
        """Class probabilities, or numbers, of items [n], [n, N] float32."""
        network, batches = self._evaluation(item_id, store, batch_size)
        return predict_scores(network, batches, DEVICE, num_workers)

    def represent(
        self, item_id: np.ndarray, store: ImageStore, batch_size: int
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Features of items [n], mean over images and views, [n, F]; and predicted CF vectors [n, f], if it has any."""
        network, batches = self._evaluation(item_id, store, batch_size)
        network = network.to(DEVICE).eval()
        features, places = [], []
        with torch.inference_mode():  # the network, which is kept, must not be made in it
            for batch in batch_loader(batches):
                features.append(network.features(batch["inputs"].to(DEVICE)).float().mean(dim=1))
                places.append(batch["index"].to(DEVICE))
            mean = average(torch.cat(features), torch.cat(places), len(item_id))
            vectors = network.heads.cf_vectors(mean)
        return mean.cpu().numpy(), None if vectors is None else vectors.cpu().numpy()

    def _evaluation(
        self, item_id: np.ndarray, store: ImageStore, batch_size: int
    ) -> tuple[MultitaskNetwork, EvaluationBatches]:
        """The network, without backbone where features are frozen, and its inputs."""
        settings = self.definition["settings"]
        if self.is_frozen:
            directory = self.prepared_dir.parent / "features" / self.definition["inputs"]["features"]
            inputs: Any = FrozenFeatures.open(directory, len(store)).views
            network = MultitaskNetwork(None, self._heads, settings["views"])
        else:
            inputs, network = CentreCrops(store, settings["image_size"], settings["eval_crop"]), self.network
        return network, EvaluationBatches(inputs, store.images_of(item_id), batch_size)

    def predict_test(self, batch_size: int, num_workers: int) -> Predictions:
        """Scores and labels of the test items that have labels; no other code reads test labels."""
        items = load_items(self.prepared_dir, self.config["fold"])
        test = items[(items["split"] == TEST) & items["labels"].notna()]
        fold = open_fold(self.prepared_dir, self.config["fold"])
        item_id = test["item_id"].to_numpy().astype(np.str_)
        targets = fold.targets(test)
        return Predictions(
            item_id=item_id,
            labels=np.array(fold.label_names),
            scores=self.score(item_id, ImageStore.open(fold.images_dir), batch_size, num_workers),
            targets=targets.astype(np.uint8) if fold.task == CLASSIFICATION else targets,
            image_group=test["image_group"].to_numpy().astype(np.str_),
        )

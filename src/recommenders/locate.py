"""Where a CF model's run lies: shared by the stage that writes it and the stages that read it; imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from src.artifacts import VECTORS_FILE, ItemVectors
from src.config import MostPopularConfig, RecommenderConfig
from src.data.folds import HELD_OUT_INTERACTIONS
from src.errors import ArtifactError, ConfigError
from src.runs import is_finished, plain, run_directory

RECOMMENDER = "recommender"


@dataclass(frozen=True)
class RecommenderRun:
    """One fit of a CF model, whether it exists or not.

    Attributes:
        dataset_dir: Where everything of the dataset lies.
        recommender: Config of the model.
        fold: Whose train items' interactions it sees.
        seed: Of the fit.
        interactions_digest: SHA-256 of these interactions.
        leaks: What the command that makes the run was called with.
    """

    dataset_dir: Path
    recommender: RecommenderConfig
    fold: int
    seed: int
    interactions_digest: str
    leaks: Sequence[str] = ()

    @property
    def parent(self) -> Path:
        """Folder of all runs of this model on this dataset."""
        return self.dataset_dir / RECOMMENDER / self.recommender.name

    @property
    def name(self) -> str:
        """Readable part of the directory's name."""
        return f"fold{self.fold}-seed{self.seed}"

    @property
    def definition(self) -> Mapping[str, Any]:
        """What defines the vectors: the model's config, fold and seed, and the interactions it may see."""
        settings = {"recommender": plain(self.recommender), "fold": self.fold, "seed": self.seed}
        if HELD_OUT_INTERACTIONS in self.leaks:
            settings["leaks"] = [HELD_OUT_INTERACTIONS]
        return {"settings": settings, "inputs": {"interactions": self.interactions_digest}}

    @property
    def directory(self) -> Path:
        """Directory of the run with exactly these settings and inputs."""
        return run_directory(self.parent, self.name, self.definition)

    def load_vectors(self) -> ItemVectors:
        """Read the CF vectors.

        Raises:
            ConfigError: The CF model has no vectors.
            ArtifactError: The run is missing; the message is the command that makes it.
        """
        if isinstance(self.recommender, MostPopularConfig):
            raise ConfigError(
                "recommender=most_popular has no item vectors; set recommender=vae, or another with vectors."
            )
        if not is_finished(self.directory):
            leaks = f" leaks=[{','.join(self.leaks)}]" if self.leaks else ""
            raise ArtifactError(
                f"There are no CF vectors of this configuration in {self.directory}; make them with: python "
                f"main_train_recommender.py dataset={self.dataset_dir.name} recommender={self.recommender.name} "
                f"fold={self.fold} seed={self.seed}{leaks} (with the recommender.* settings given here, if any)"
            )
        return ItemVectors.load(self.directory / VECTORS_FILE)

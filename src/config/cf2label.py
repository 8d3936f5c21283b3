"""Schema of CF2Label."""

from dataclasses import dataclass

from src.config.setting import setting


@dataclass
class CF2LabelConfig:
    """Label classifier on CF vectors alone (paper, section 4.2)."""

    n_folds: int = setting(5, "inner folds; a model predicts the groups that it has not seen", within="[2, inf)")
    hidden_size: int | None = setting(256, "null: halfway between f and N, as the original", within="[1, inf)")
    dropout: float = setting(0.5, "of the hidden layer", within="[0, 1)")
    lr: float = setting(0.003, "peak learning rate, falls linearly to 0", within="(0, inf)")
    weight_decay: float = setting(0.3, "AdamW's", within="[0, inf)")
    batch_size: int = setting(128, "items a step", within="[1, inf)")
    max_steps: int = setting(500, "optimisation steps", within="[1, inf)")
    class_weighting: str = setting("none", "none keeps probabilities calibrated", choices="none | balanced")

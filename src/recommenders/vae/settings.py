"""What the network and its training are told."""

from dataclasses import dataclass

from src.config.setting import setting
from src.recommenders.base import RecommenderConfig


@dataclass
class VAESettings(RecommenderConfig):
    """Variational autoencoder for CF with a multinomial likelihood (Liang et al., 2018) and one bias per item."""

    name: str = setting("vae", "shown in tables and directory names")
    item_bias: bool = setting(True, "one bias an item in the last layer")
    latent_size: int = setting(128, "of a user's state", within="[1, inf)")
    normalize_input: bool = setting(False, "scale a user's interactions, the encoder's input, to unit L2 norm")
    init_scale: float = setting(
        0.1, "of the initial item vectors, 1: torch's; rare items keep theirs", within="(0, inf)"
    )
    beta: float = setting(0.3, "weight of the KL term", within="[0, inf)")
    dropout: float = setting(0.5, "of the input: the decoder must tell items from other items", within="[0, 1)")
    lr: float = setting(0.01, "peak learning rate", within="(0, inf)")
    weight_decay: float = setting(0.0, "AdamW's", within="[0, inf)")
    adam_eps: float = setting(1e-5, "above rare items' gradients, so that their vectors move little", within="(0, inf)")
    batch_size: int = setting(1024, "users a step", within="[1, inf)")
    max_steps: int = setting(1000, "optimisation steps", within="[1, inf)")
    sampled_items: int | None = setting(
        None, "other items in a step's softmax, at random; null: all", within="[1, inf)"
    )

import numpy as np
import pytest

from src.cf2label.precheck import train_and_check
from src.classifiers.train import train_classifier
from src.config.classifiers import TrainerConfig
from src.config.setting import check
from src.errors import ConfigError
from src.recommenders.auc import recommender_auc
from src.recommenders.interactions import hold_out
from src.recommenders.models.cornac import BPRConfig
from src.recommenders.models.ials import IALSConfig
from src.recommenders.models.joint import JointConfig
from src.recommenders.models.most_popular import MostPopularConfig
from tests.pipeline import compose_config
from tests.recommenders.planted import block_matrix

IALS, BPR = IALSConfig(n_factors=8), BPRConfig(n_factors=6, max_iter=60)


def fitted(cfg, matrix, seed=7):
    model = cfg.build(TrainerConfig())
    model.fit(matrix, seed)
    return model


@pytest.mark.parametrize("cfg", [IALS, JointConfig(parts={"ials": IALS, "bpr": BPR})])
def test_learns_planted_blocks_and_repeats_itself(cfg):
    train, test = hold_out(block_matrix(), 0.2, np.random.default_rng(0))
    models = [fitted(cfg, train) for _ in range(2)]
    assert recommender_auc(models[0].user_scores, train, test).strict > 0.8
    first, second = (model.item_factors() for model in models)
    assert first.vectors.tobytes() == second.vectors.tobytes()
    assert first.vectors.dtype == first.bias.dtype == np.float32


def test_joint_vectors_are_those_of_the_parts_with_one_spread():
    matrix = block_matrix(n_users=80)
    joint = fitted(JointConfig(parts={"ials": IALS, "bpr": BPR}), matrix).item_factors()
    assert joint.vectors.shape == (60, 14)
    for columns in (slice(0, 8), slice(8, 14)):
        assert np.square(joint.vectors[:, columns]).mean() == pytest.approx(1, rel=1e-5)
    assert joint.bias.std() > 0  # half of BPR's: iALS has none


@pytest.mark.parametrize("parts", [{"ials": IALS, "top": MostPopularConfig()}, {"bpr": BPR}])
def test_it_needs_two_parts_with_vectors(parts):
    with pytest.raises(ConfigError, match=r"at least two CF models with vectors, but those .* are \['(ials|bpr)'\]"):
        JointConfig(parts=parts).build(TrainerConfig())


def test_settings_of_parts_are_checked():
    with pytest.raises(ConfigError, match=r"^parts\[a\]\.n_factors should be in \[1, inf\), but is 0"):
        check(JointConfig(parts={"a": BPRConfig(n_factors=0), "b": BPR}))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ials", ["recommender.n_factors=4"]),
        ("vae_bpr", ["recommender.parts.vae.max_steps=30", "recommender.parts.bpr.max_iter=5"]),
    ],
)
def test_its_vectors_teach_a_classifier(pipeline, name, settings):
    def overrides(stage):
        common = [value for value in pipeline.overrides(stage) if not value.startswith("recommender.")]
        return [*common, f"recommender={name}", *settings]

    train_and_check(compose_config("train_recommender", *overrides("train_recommender")))
    stage = overrides("train_classifier")
    for method in ("cf2label", "mtl_loss", "cf_distill"):
        metrics = train_classifier(compose_config("train_classifier", *stage, f"method={method}", "epochs=1"))
    assert metrics["val_mAP"] > 0

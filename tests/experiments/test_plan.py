"""Which steps an experiment has: its own cells, and what their methods need before them."""

import pytest

from src.entry import CONFIGS
from src.errors import ConfigError
from src.experiments.plan import build_steps
from src.experiments.run import compose_experiment


def steps_of(*arguments):
    cfg, overrides = compose_experiment(["dataset=emoji", *arguments])
    return build_steps(cfg, overrides)


def summary(*arguments):
    return [(step.title, step.choices) for step in steps_of("experiment=table5", *arguments)]


def test_labels_alone_need_nothing():
    assert summary("methods=[image_only]") == [("image_only", ("image_only",))]


def test_a_cf_loss_needs_vectors_and_confidences_need_cf2label():
    assert summary("methods=[mtl_uniform]") == [("CF models", ("vae",)), ("methods", ("mtl_uniform",))]
    assert summary("methods=[mtl_loss]", "recommender=bpr") == [
        ("CF models", ("bpr",)),
        ("CF2Label", ("cf2label",)),
        ("methods", ("mtl_loss",)),
    ]


def test_controls_need_a_cf2label_of_their_own_vectors_and_a_teacher():
    assert summary("methods=[cf_distill,distill_shuffled,pseudo_label]") == [
        ("CF models", ("vae",)),
        ("CF2Label", ("cf2label",)),
        ("CF2Label, vectors=shuffled", ("cf2label",)),
        ("image_only, for soft labels", ("image_only",)),
        ("methods", ("cf_distill", "distill_shuffled", "pseudo_label")),
    ]


def test_the_image_as_prior_has_a_cf2label_of_its_own_and_so_has_its_control():
    steps = steps_of("experiment=study", "methods=[cf_distill,distill_prior,prior_shuffled]")[1:-1]
    assert [step.title for step in steps] == [
        "CF2Label",
        "CF2Label, prior_users=300",
        "CF2Label, vectors=shuffled, prior_users=300",
    ]
    methods = [step.cells[0].config.method for step in steps]
    assert [(method.vectors, method.prior_users) for method in methods] == [
        ("cf", None),
        ("cf", 300),
        ("shuffled", 300),
    ]


def test_what_a_tuned_method_needs_is_itself_not_tuned():
    steps = steps_of("experiment=tune", "methods=[cf_distill]")
    assert [(step.title, step.cells[0].config.tune) for step in steps[1:]] == [("CF2Label", False), ("methods", True)]


def test_a_tuned_teacher_is_trained_once_more_as_it_was_tuned():
    steps = steps_of("experiment=tune", "methods=[image_only,pseudo_label]")
    assert [(step.choices[0], step.cells[0].config.tune) for step in steps] == [
        *[("image_only", True), ("image_only", False), ("pseudo_label", True)]
    ]


def test_only_methods_with_a_cf_loss_are_swept_over_alpha():
    steps = steps_of("experiment=alpha_sweep", "alphas=[0.1,2]", "folds=[0]")
    assert [len(step.cells) for step in steps] == [1, 1, 2]
    assert [cell.config.alpha for cell in steps[-1].cells] == [0.1, 2]


def test_cells_are_all_combinations_and_share_what_the_command_says():
    step = steps_of("experiment=table5", "methods=[image_only]", "seeds=[0,7]", "label_ratios=[0.2,1.0]", "epochs=3")[0]
    configs = [cell.config for cell in step.cells]
    assert len(configs) == 3 * 2 * 2
    assert {(cfg.fold, cfg.seed, cfg.label_ratio) for cfg in configs} == {
        (fold, seed, ratio) for fold in (0, 1, 2) for seed in (0, 7) for ratio in (0.2, 1.0)
    }
    assert all(cfg.epochs == 3 and cfg.recommender_seed == 0 and cfg.image_size == 192 for cfg in configs)
    assert {"method=image_only", "label_ratio=0.2,1.0", "fold=0,1,2", "seed=0,7", "epochs=3"} <= set(step.arguments)


@pytest.mark.slow
def test_every_experiment_and_every_dataset_can_be_planned():
    for path in sorted((CONFIGS / "experiment").glob("*.yaml")):
        assert steps_of(f"experiment={path.stem}")
    for dataset in ("toys", "clothing", "pinterest", "movielens", "movielens_posters"):
        cells = steps_of("experiment=table5", f"dataset={dataset}", "methods=[image_only]")[-1].cells
        assert {cell.config.dataset.name for cell in cells} == {dataset}


@pytest.mark.parametrize(("arguments", "message"), [
    (["experiment=table5", "folds=[]"], "folds should list at least one value"),
    (["experiment=table5", "folds=a"], "cannot take folds=a"),
    (["experiment=nonsense"], "experiment/nonsense"),
])  # fmt: skip
def test_bad_lists(arguments, message):
    with pytest.raises(ConfigError, match=message):
        compose_experiment(arguments)


def test_cf_models_are_compared_with_and_without_the_interactions_of_held_out_items():
    (step,) = steps_of("experiment=table3", "folds=[0]", "recommenders=[bpr]")
    assert [cell.config.leaks for cell in step.cells] == [[], ["held_out_interactions"]]
    assert "leaks=[],['held_out_interactions']" in step.arguments
    (step,) = steps_of("experiment=table3", "folds=[0]", "recommenders=[bpr]", "all_interactions=false")
    assert [cell.config.leaks for cell in step.cells] == [[]]


def test_cf_models_are_tuned_and_leave_no_runs():
    (step,) = steps_of("experiment=tune_cf", "recommenders=[bpr,vae]")
    assert [(cell.config.tune, cell.config.seed, cell.runs(None)) for cell in step.cells] == [(True, 100, [])] * 2

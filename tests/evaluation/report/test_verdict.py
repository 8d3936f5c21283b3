"""The sentence and the dots that a report begins with, by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from src.evaluation.report.verdict import gain, plot_classes, plot_ratio, verdict


def estimate(value, low, high):
    return SimpleNamespace(value=value, low=low, high=high)


def method(name, value, significant=None, p=(0.001, 0.002)):
    contrast = None
    if significant:
        difference = estimate(value - 0.4, value - 0.42, value - 0.38)
        contrast = SimpleNamespace(difference=difference, baseline=0.4, significant=significant)
        contrast.p_randomization_holm, contrast.p_t_test_holm = p
    labels, per_class = np.array(["cat", "dog", "owl"]), np.array([value, 0.5, np.nan])
    mean = estimate(value, value - 0.1, value + 0.1)
    return SimpleNamespace(
        name=name, method=name, contrast=contrast, mean_average_precision=mean, labels=labels, per_class=per_class
    )


BASELINE = method("image_only", 0.4)


def text(*others, ratio=0.2):
    return verdict(max([BASELINE, *others], key=gain), ratio, "image_only")


def test_a_significant_gain_is_said_before_a_larger_one():
    found = text(method("big", 0.6, "no"), method("sure", 0.5, "yes"))
    assert found == (
        "With 20 % of the labels, sure reaches mAP 0.500 where image_only reaches 0.400: +25.0 %, 95 % interval of the "
        "difference [+0.080, +0.120], significant over test images and over training runs."
    )


def test_no_significance_is_said_with_both_p_values():
    assert "big reaches mAP 0.600" in text(method("big", 0.6, "no", (0.0249, 0.0611)))
    assert text(method("big", 0.6, "no", (0.0249, 0.0611))).endswith(
        "not significant: Holm-adjusted p .0249 over test images, .0611 over training runs."
    )
    found = text(method("big", 0.6, "one run", (None, None)))
    assert found.endswith("of one training run, so nothing is called significant.")


def test_a_significant_loss_is_no_gain_and_a_baseline_alone_is_said():
    found = text(method("worse", 0.3, "yes"), method("near", 0.39, "no"), ratio=1)
    assert found.startswith("With all labels, near reaches mAP 0.390 where image_only reaches 0.400: \u22122.5 %")
    assert text() == "With 20 % of the labels, image_only has mAP 0.400; no other method is compared with it."


def test_the_axis_holds_all_intervals_and_the_line_is_the_baselines():
    sure = method("sure", 0.5, "yes")
    plot = plot_ratio("t", [BASELINE, sure], "image_only", [BASELINE, sure, method("other", 0.9)])
    assert plot["rows"][0] == ("image_only", 0.4, pytest.approx(0.3), 0.5, "baseline")
    assert plot["rows"][1][4] == "yes"
    assert plot["line"] == 0.4
    assert plot["ticks"][0] <= 0.3
    assert plot["ticks"][-1] >= 1
    assert plot_ratio("t", [sure], "image_only", [sure])["line"] is None


def test_classes_are_sorted_by_gain_and_those_without_a_positive_are_left_out():
    value = pytest.approx(0.1)
    plot = plot_classes(method("sure", 0.5), BASELINE)
    assert plot["rows"] == [("cat", value, 0.0, value, "yes"), ("dog", 0, 0, 0, "no")]
    assert [row[0] for row in plot_classes(method("sure", 0.3), BASELINE)["rows"]] == ["dog", "cat"]
    assert plot["title"] == "Difference in AP, sure to image_only"

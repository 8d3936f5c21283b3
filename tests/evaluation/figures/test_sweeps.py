"""Figures of sweeps show each method where its numbers are; that they look right was judged by eye."""

import matplotlib.image
import numpy as np
import pytest

from src.evaluation.figures import sweeps as sweep_figures
from src.evaluation.figures.sweeps import (
    alphas_of,
    plot_alphas,
    plot_improvements,
    plot_label_ratios,
    plot_labels_saved,
)
from src.evaluation.inputs.runs_table import MethodRuns, RunRecord
from src.evaluation.statistics.bootstrap import Estimate
from src.evaluation.statistics.comparison import Contrast, MethodResult
from src.evaluation.statistics.labels_saved import LabelsSaved
from src.evaluation.statistics.significance import Equivalence


def estimate(value, half=0.02):
    return Estimate(value, value - half, value + half, half / 2, 0.03, 0)


def result(name, value, baseline=None):
    difference = None if baseline is None else estimate(value - baseline)
    contrast = None if difference is None else Contrast(difference, baseline, 0.01, None, Equivalence(None, None), 3, 0)
    per_class, resampled = np.array([value]), np.array([value, value])
    name_of_method, runs = name.split()[0], frozenset({(0, 0)})
    return MethodResult(
        name, name_of_method, estimate(value), {}, per_class, np.array(["a"]), 3, 1, 0, resampled, runs, contrast
    )


@pytest.fixture
def drawn(monkeypatch):
    lines = {}

    def record(axes, points, shift, style, name):
        lines[name] = points.tolist()
        draw(axes, points, shift, style, name)

    draw = sweep_figures._draw_line
    monkeypatch.setattr(sweep_figures, "_draw_line", record)
    return lines


def by_ratio():
    return {
        ratio: [result("image_only", base), result("mtl_uniform", base + gain, base), result("cf_distill", base, base)]
        for ratio, base, gain in ((1.0, 0.5, 0.01), (0.2, 0.4, 0.1))
    }


def test_label_ratios_in_their_order_with_intervals(drawn, tmp_path):
    plot_label_ratios(by_ratio(), "image_only", tmp_path / "figure", "emoji")
    assert drawn["image_only"] == [pytest.approx(p) for p in ((0.2, 0.4, 0.38, 0.42), (1.0, 0.5, 0.48, 0.52))]
    assert matplotlib.image.imread(tmp_path / "figure.png").shape[1] == round(3.35 * 200)


def test_methods_stay_near_their_ratio_though_some_lack_ratios(monkeypatch, tmp_path):
    shifts = []
    monkeypatch.setattr(sweep_figures, "_draw_line", lambda axes, points, shift, style, name: shifts.append(shift))
    results = by_ratio() | {0.1: [result("image_only", 0.3), result("mtl_uniform", 0.35, 0.3)]}
    plot_label_ratios(results, "image_only", tmp_path / "figure", "emoji")
    assert shifts == pytest.approx([-0.005, 0, 0.005])  # of a gap of 0.1


def test_improvements_are_percent_of_the_baseline(drawn, tmp_path):
    plot_improvements(by_ratio(), "image_only", tmp_path / "figure", "emoji")
    assert drawn == {
        "mtl_uniform": [pytest.approx(p) for p in ((0.2, 25, 20, 30), (1.0, 2, -2, 6))],
        "cf_distill": [pytest.approx(p) for p in ((0.2, 0, -5, 5), (1.0, 0, -4, 4))],
    }


def test_labels_saved_stand_at_their_ratio_with_intervals(drawn, tmp_path):
    saved = [LabelsSaved("cf_distill", ratio, 2 * ratio, ratio, 3 * ratio, 2.0) for ratio in (0.1, 0.2)]
    plot_labels_saved(saved, "image_only", tmp_path / "figure", "emoji")
    assert drawn == {"cf_distill": [pytest.approx([r, 2 * r, r, 3 * r]) for r in (0.1, 0.2)]}
    assert (tmp_path / "figure.pdf").is_file()


def test_alphas(drawn, tmp_path):
    alphas = (2.0, 0.05, 0.5)
    names = {alpha: f"mtl_uniform (alpha={alpha})" for alpha in alphas}
    rows = [MethodRuns("image_only", "image_only", {(0, 0): record("image_only", None)})]
    rows += [MethodRuns(names[alpha], "mtl_uniform", {(0, 0): record("mtl_uniform", alpha)}) for alpha in alphas]
    assert alphas_of(rows) == {"mtl_uniform": names}
    results = [result("image_only", 0.3), *(result(name, 0.3 + alpha / 10, 0.3) for alpha, name in names.items())]
    plot_alphas(rows, results, "image_only", tmp_path / "figure", "emoji")
    assert [point[:2] for point in drawn["mtl_uniform"]] == [[0.05, 0.305], [0.5, 0.35], [2.0, 0.5]]


def record(method, alpha):
    return RunRecord("run", "classification", method, "net", 64, 1.0, alpha, None, None, 0, 0, "main")


def test_many_lines_fit(tmp_path):
    results = {
        ratio: [result("image_only", 0.3), *(result(f"method_{i}", 0.3 + i / 50 + ratio / 10, 0.3) for i in range(7))]
        for ratio in (0.1, 0.5, 1.0)
    }
    plot_label_ratios(results, "image_only", tmp_path / "figure")
    assert (tmp_path / "figure.pdf").is_file()

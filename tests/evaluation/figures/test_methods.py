"""What figures are made of; that they look right was judged by eye."""

import matplotlib.image
import pandas as pd
import pytest

from src.errors import ArtifactError
from src.evaluation.figures.methods import line_styles, load_curves, plot_learning_curves
from src.plotting import COLOURS, STYLE


def test_curves_are_one_row_an_epoch(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,train/loss,val/mAP\n0,0.9,0.1\n1,0.5,0.2\n")
    curves = load_curves(path)
    assert curves.to_dict("list") == {"train/loss": [0.9, 0.5], "val/mAP": [0.1, 0.2]}
    path.write_text("step,loss\n0,1\n")
    with pytest.raises(ArtifactError, match=r"metrics.csv cannot be read .*epoch.*; delete it and run its stage again"):
        load_curves(path)


def test_figures_fit_one_column_and_stay_legible(tmp_path):
    runs = [pd.DataFrame({"val/mAP": maps, "val/loss": maps[::-1]}) for maps in ([0.1, 0.2], [0.2, 0.3, 0.3])]
    curves = {"image_only": runs}
    plot_learning_curves(curves, "image_only", tmp_path / "curves_ratio0.1")
    assert matplotlib.image.imread(tmp_path / "curves_ratio0.1.png").shape[1] == round(3.35 * 200)
    assert (tmp_path / "curves_ratio0.1.pdf").read_bytes().startswith(b"%PDF")
    assert min(value for name, value in STYLE.items() if "size" in name and "font" not in name) >= 7
    assert not list(tmp_path.glob(".*"))


def test_each_method_looks_different():
    names = ["image_only", *(f"method_{i}" for i in range(2 * len(COLOURS)))]
    looks = [tuple(style.values()) for style in line_styles(names, "image_only").values()]
    assert len(set(looks)) == len(names)
    assert looks[0][0] == "#000000"

"""Settings that cannot be are named before any file is looked for."""

import pytest

from src.data.preparation.prepare import prepare_dataset
from src.errors import ConfigError
from tests.data.tiny import tiny_config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"store_size": 0}, r"dataset\.store_size should be in \[1, inf\), but is 0"),
        ({"max_aspect_ratio": 0.5}, r"dataset\.max_aspect_ratio should be in \[1, inf\), but is 0\.5"),
        ({"name": "evaluation"}, r"dataset\.name should be a folder name other than all and evaluation"),
        ({"name": "../x"}, r"dataset\.name should be a folder name"),
    ],
)
def test_settings_out_of_range(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        prepare_dataset(tiny_config(tmp_path / "raw", tmp_path / "outputs", **changes))


def test_download_settings_out_of_range(tmp_path):
    cfg = tiny_config(tmp_path / "raw", tmp_path / "outputs")
    cfg.downloads.workers = 0
    with pytest.raises(ConfigError, match=r"downloads\.workers should be in \[1, inf\), but is 0"):
        prepare_dataset(cfg)

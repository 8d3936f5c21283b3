"""Fixtures of the download tests."""

import pytest

from tests.data.web import serve


@pytest.fixture
def web():
    with serve() as web:
        yield web


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "raw").mkdir()
    return tmp_path / "raw"

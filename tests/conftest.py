"""Fixtures for every test."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with real data, or skip, saying so."""
    folder = os.environ.get("DERMAXIS_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("real data absent: set DERMAXIS_DATA to the folder that holds isic2018/")
    return Path(folder)

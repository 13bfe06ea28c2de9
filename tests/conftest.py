"""A small built-in room as a raw scan on disk, and a class table."""

import subprocess
import sys
from pathlib import Path

import pytest

from panrecon.networks.torchvision_ops import ensure_torchvision
from panrecon.structures import Category, CategoryTable

FRAMES = 40

ensure_torchvision()  # torchmetrics imports it


@pytest.fixture(scope="session")
def raw_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `room/`, written by `panrecon simulate room`; never to be changed."""
    folder = tmp_path_factory.mktemp("raw")
    small = ["--frames", str(FRAMES), "--width", "160", "--seed", "0"]
    subprocess.run([sys.executable, "-m", "panrecon.cli", "simulate", "room", str(folder / "room"), *small], check=True)
    return folder


@pytest.fixture(scope="session")
def table() -> CategoryTable:
    """Two things, two kinds of stuff, and a thing that is not evaluated."""
    return CategoryTable(
        (
            Category(1, "wall", thing=False, raw_ids=(1,)),
            Category(2, "floor", thing=False, synonyms=("ground", "rug"), raw_ids=(3,)),
            Category(5, "chair", thing=True, synonyms=("seat",), raw_ids=(2, 20)),
            Category(9, "table", thing=True, raw_ids=(4,)),
            Category(11, "clutter", thing=True, evaluated=False, raw_ids=(40,)),
        )
    )

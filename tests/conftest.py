"""A small built-in room as a raw scan on disk, and shapes with a known surface."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from panrecon.structures import Category, CategoryTable, TriangleMesh

FRAMES = 40


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


def grid_mesh(columns: int, rows: int, cell: float = 0.05) -> TriangleMesh:
    """A flat sheet at z = 0 facing +z, vertices row by row."""
    x, y = np.meshgrid(np.arange(columns) * cell, np.arange(rows) * cell)
    vertices = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1).astype(np.float32)
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
    lower = np.stack([corner, corner + 1, corner + columns], axis=1)
    upper = np.stack([corner + 1, corner + columns + 1, corner + columns], axis=1)
    faces = np.concatenate([lower, upper]).astype(np.int32)
    return TriangleMesh(vertices, faces, np.full((len(vertices), 3), 128, np.uint8))

"""A small built-in room as a raw scan on disk, and a class table, for tests on any number of workers."""

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from filelock import FileLock

from panrecon.evaluation import scene
from panrecon.evaluation.metrics.geometric import surface_quality
from panrecon.networks.torchvision_ops import ensure_torchvision
from panrecon.structures import Category, CategoryTable
from panrecon.visualization import isometric_view
from tests.command_line import panrecon

FRAMES = 40

ensure_torchvision()  # torchmetrics imports it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: the last worker is not left alone with one of them."""
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


@pytest.fixture(scope="session")
def raw_scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds `room/`, written once for all workers by `panrecon simulate room`; never to be changed."""
    of_workers = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if of_workers else base) / "raw"
    with FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            aside = tmp_path_factory.mktemp("raw")
            small = ["--frames", str(FRAMES), "--width", "160", "--seed", "0"]
            done = panrecon("simulate", "room", "room", *small, cwd=aside)
            assert done.returncode == 0, done.stderr
            aside.rename(folder)
    return folder


@pytest.fixture(scope="module")
def coarse_evaluation() -> Iterator[None]:
    """Surfaces are compared by few samples and painted small, where a test asks for neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scene, "surface_quality", partial(surface_quality, samples=2000))
        patch.setattr(scene, "isometric_view", partial(isometric_view, height=54, width=72))
        yield


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

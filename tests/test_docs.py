"""What the documentation shows works as shown."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.testing import assert_array_equal

from panrecon.masks.base import Segmenter
from panrecon.structures import Camera, CategoryTable, Frame, Scan
from tests import CHECKOUT


def test_the_segmenter_of_ones_own_is_one(table: CategoryTable) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs" / "own_segmenter.md").read_text(), re.DOTALL)
    assert len(program.splitlines()) <= 45
    room: dict[str, Any] = {"__name__": "own_segmenter"}
    exec(compile(program, "own_segmenter.md", "exec", dont_inherit=True), room)
    left, right = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    left[:, :4], right[:, 4:] = True, True

    def predict(image: np.ndarray, words: list[str]) -> list[tuple[str, float, np.ndarray]]:
        assert "seat" in words
        return [("seat", 0.4, left), ("unicorn", 0.9, left), ("wall", 0.8, right)] if image.any() else []

    camera = Camera(8, 6, 5.0, 5.0, 4.0, 3.0)
    scan = Scan("room", camera, camera, 1000.0, tuple(Frame(n, Path(), Path(), np.eye(4)) for n in ("0", "1")))
    mine = room["MySegmenter"](lambda frame: np.full((6, 8, 3), int(frame.name), np.uint8), predict, 5)
    assert isinstance(mine, Segmenter)
    empty, found = mine.segment(scan, table)
    assert empty.mask.shape == (0, 6, 8)
    assert [table[row].name for row in found.category] == ["wall", "chair"]
    assert_array_equal(found.mask, [right, left])

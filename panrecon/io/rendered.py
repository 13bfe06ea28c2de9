"""Rendered images of a scene on disk: colour, depth, normals, class and instance."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from panrecon.structures import CategoryTable
from panrecon.field.scene_renderer import SceneImages


def write_images(folder: Path, name: str, images: SceneImages, table: "CategoryTable") -> None:
    """`color/`, `depth/` (16 bit, mm), `normal/` (world axes, -1 .. 1 as 0 .. 255), `semantic/`, `instance/`."""
    from panrecon.io.graph import write_frame_labels
    from panrecon.io.images import write_depth, write_image

    write_image(folder / "color" / f"{name}.png", images.color)
    write_depth(folder / "depth" / f"{name}.png", images.depth)
    write_image(folder / "normal" / f"{name}.png", np.rint((images.normal + 1) * 127.5).astype(np.uint8))
    write_frame_labels(folder, name, images.labels, table)

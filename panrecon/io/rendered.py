"""Rendered images of a scene on disk: colour, depth, normals, class and instance."""

from pathlib import Path

import numpy as np

from panrecon.field.scene_renderer import SceneImages
from panrecon.io.graph import write_frame_labels
from panrecon.io.images import write_depth, write_image
from panrecon.structures import CategoryTable


def write_images(folder: Path, name: str, images: SceneImages, table: CategoryTable) -> None:
    """`color/`, `depth/` (16 bit, mm), `normal/` (world axes, -1 .. 1 as 0 .. 255), `semantic/`, `instance/`."""
    write_image(folder / "color" / f"{name}.png", images.color)
    write_depth(folder / "depth" / f"{name}.png", images.depth)
    write_image(folder / "normal" / f"{name}.png", np.rint((images.normal + 1) * 127.5).astype(np.uint8))
    write_frame_labels(folder, name, images.labels, table)

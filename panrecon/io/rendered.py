"""Rendered images of a scene on disk: colour, depth, normals, class and instance."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from panrecon.field.scene_renderer import SceneImages
from panrecon.io.graph import write_frame_labels
from panrecon.io.images import read_color, read_depth, write_depth, write_image
from panrecon.io.scan import read_view
from panrecon.structures import CategoryTable, Scan, View


def write_images(folder: Path, name: str, images: SceneImages, table: CategoryTable) -> None:
    """Writes `color/`, `depth/` (16 bit, mm), `normal/` (world axes, -1 .. 1 as 0 .. 255), `semantic/`, `instance/`."""
    write_image(folder / "color" / f"{name}.png", images.color)
    write_depth(folder / "depth" / f"{name}.png", images.depth)
    write_image(folder / "normal" / f"{name}.png", np.rint((images.normal + 1) * 127.5).astype(np.uint8))
    write_frame_labels(folder, name, images.labels, table)


def read_rendered_pairs(folder: Path, scan: Scan) -> Iterator[tuple[View, View]]:
    """Colour and depth of every frame that was rendered, beside the frame as it was recorded."""
    for frame in scan.frames:
        if (folder / "color" / f"{frame.name}.png").is_file():
            color = read_color(folder / "color" / f"{frame.name}.png")
            depth = read_depth(folder / "depth" / f"{frame.name}.png", depth_scale=1000.0)
            yield View(frame.name, scan.camera, frame.world_from_camera, color, depth), read_view(scan, frame)

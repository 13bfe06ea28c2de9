"""World positions of the pixels of a raw scene's label images, for faults of detections that keep to places."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from panrecon.config import ScanSettings
from panrecon.datasets.base import dataset
from panrecon.errors import InputError
from panrecon.geometry.projective import resample
from panrecon.io.images import read_depth
from panrecon.simulation.predictions.stuff_cells import world_positions

PositionsOfFrame = Callable[[str, tuple[int, ...]], Float[np.ndarray, "h w 3"]]


def positions_reader(folder: Path) -> PositionsOfFrame:
    """A function of a frame's name and its label image's shape: world points (m) of the pixels, NaN where not measured.

    Label images lie on the colour camera's pixels; the distance between the colour and the depth camera is left out.
    """
    reader = dataset("kitti360" if (folder / "calibration").is_dir() else "scannet")
    scan = reader.scan(folder, ScanSettings())
    depth_of_frame = reader.depths(folder, scan, ScanSettings())
    frame_of_name = {frame.name: frame for frame in scan.frames}
    camera = scan.source_camera

    def positions(name: str, shape: tuple[int, ...]) -> Float[np.ndarray, "h w 3"]:
        frame = frame_of_name[name]
        if shape != (camera.height, camera.width):
            raise InputError(
                f"The label image of frame {name} of {folder} is {shape}, its colour image "
                f"{(camera.height, camera.width)}; export both in one size."
            )
        measured = read_depth(frame.depth, scan.depth_scale) if depth_of_frame is None else depth_of_frame(frame)
        depth = resample(measured, scan.camera, camera, nearest=True) if scan.camera != camera else measured
        return world_positions(camera, frame.world_from_camera, depth)

    return positions

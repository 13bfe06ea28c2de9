"""The program of the process that compiles the kernels of the field (`cpu.compiled`)."""

import numpy as np

from panrecon.config import FieldSettings
from panrecon.field.field import SceneBox
from panrecon.field.fit import fit
from panrecon.field.inference import query, render_view
from panrecon.field.sampling import FieldData
from panrecon.structures import Camera


def compile_kernels() -> None:
    """Calls every kernel as training and inference do, on next to nothing."""
    settings = FieldSettings(
        levels=2,
        log2_table_size=8,
        hidden_width=8,
        rays=32,
        finest_cell=0.25,
        geometry_iterations=2,
        frozen_iterations=2,
        joint_iterations=2,
        device="cpu",
    )
    camera = Camera(16, 12, 12.0, 12.0, 7.5, 5.5)
    shape = (2, camera.height, camera.width)
    category = np.indices(shape)[2].astype(np.int32) % 2
    data = FieldData(
        camera=camera,
        world_from_camera=np.tile(np.eye(4), (2, 1, 1)),
        color=np.full((*shape, 3), 100, np.uint8),
        depth=np.full(shape, 0.6, np.float32),
        category=category,
        instance=category - 1,
        weight=np.ones(shape, np.float32),
        features=np.ones((2, 3, 4, 8), np.float16),
        categories=2,
        instances=1,
        box=SceneBox(np.full(3, -1.0), np.full(3, 2.0)),
    )
    field = fit(data, settings).field
    points = np.zeros((4, 3), np.float32)
    query(field, points)
    query(field, points, np.ones_like(points))
    render_view(field, data.box, camera, np.eye(4), data.depth[0])

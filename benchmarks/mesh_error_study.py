"""How does quality fall as the mesh gets worse? Depth noise, pose jitter, coarse voxels; all methods.

The disturbed depth or poses make the mesh and see it; masks stay as they are: a room's own detections, or the fixed
ones of a rendered scene (faults 1). Noise is seeded with the masks' seed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer
from scipy.spatial.transform import Rotation

from benchmarks.association import CONSENSUS, PLAIN, WRITTEN, build_scene, read_masks
from benchmarks.scenes import BenchScene
from benchmarks.study import SharedOption, StudyScore, run_study, seeds_of, study_scenes
from panrecon.config import MeshSettings
from panrecon.fusion.tsdf import fuse
from panrecon.io.scan import read_scan, read_views
from panrecon.structures import Scan, View, Views

NAME: Final = "mesh_error_study"
METHODS: Final = (CONSENSUS, WRITTEN, PLAIN)
LEVELS: Final[Mapping[str, tuple[float, ...]]] = {
    "depth noise, cm at 2 m": (0.0, 1.0, 2.0, 4.0, 6.0),  # standard deviation, proportional to the squared depth
    "pose jitter, cm": (0.0, 1.0, 2.0, 3.0, 4.0),  # standard deviation of the position; 0.3 degrees of rotation a cm
    "voxel size, cm": (2.0, 3.0, 4.0, 6.0, 8.0),
}
NOISE_GRAIN: Final = 4  # pixels, side of the squares of equal depth noise: that of stereo sensors is correlated
DEGREES_PER_CM: Final = 0.3


def main(
    shared: SharedOption = None,
    quick: Annotated[bool, typer.Option(help="two levels and one seed")] = False,
) -> None:
    """Strict PQ against every disturbance: a table, a plot and JSON."""
    tasks = [(measure, scene, quick) for scene in study_scenes(shared)]
    run_study(NAME, tasks, "disturbance")


def measure(scene: BenchScene, run: Path, quick: bool) -> list[StudyScore]:
    """All scores of one scene."""
    scan = read_scan(run / "scan")
    points: list[StudyScore] = []
    for seed in seeds_of(scene, quick):
        undisturbed: dict[str, dict[str, float]] = {}
        for disturbance, levels in LEVELS.items():
            for level in levels[::4] if quick else levels:
                if level == levels[0] and undisturbed:
                    scores_of_method = undisturbed
                else:
                    scores_of_method = disturbed_scores(scene, scan, disturbance, level, seed)
                undisturbed = undisturbed or scores_of_method
                for method, values in scores_of_method.items():
                    points.append(StudyScore(disturbance, level, method, scene.name, seed, values))
    return points


def disturbed_scores(
    scene: BenchScene, scan: Scan, disturbance: str, level: float, seed: int
) -> dict[str, dict[str, float]]:
    """The scores of all methods on the mesh of disturbed views, by the method's name."""
    noise = level if disturbance.startswith("depth") else 0.0
    jitter = level if disturbance.startswith("pose") else 0.0
    settings = MeshSettings(voxel_size=level / 100) if disturbance.startswith("voxel") else MeshSettings()
    mesh = fuse(Views.of(list(disturbed(scan, noise, jitter, seed))), settings)
    built = build_scene(scene.raw, scan, mesh, disturbed(scan, noise, jitter, seed))
    path = scene.raw / ("detections.json" if scene.kind == "room" else f"detections/faults1_seed{seed}.json")
    masks = read_masks(path, scan, built.table)
    return {method: built.scores_of(method, masks) for method in METHODS}


def disturbed(scan: Scan, noise_cm: float, jitter_cm: float, seed: int) -> Iterator[View]:
    """The views of a scan with disturbed depth and poses, the same at every call."""
    for frame_index, view in enumerate(read_views(scan)):
        rng = np.random.default_rng([seed, frame_index])
        height, width = view.depth.shape
        grain = rng.normal(size=(-(-height // NOISE_GRAIN), -(-width // NOISE_GRAIN))).astype(np.float32)
        noise = grain.repeat(NOISE_GRAIN, axis=0).repeat(NOISE_GRAIN, axis=1)[:height, :width]
        depth = view.depth + noise_cm / 100 * noise * (view.depth / 2) ** 2
        pose = view.world_from_camera.copy()
        pose[:3, 3] += rng.normal(size=3) * jitter_cm / 100
        pose[:3, :3] @= Rotation.from_rotvec(rng.normal(size=3) * np.deg2rad(DEGREES_PER_CM * jitter_cm)).as_matrix()
        yield replace(view, depth=np.where(view.depth > 0, depth.clip(0), 0).astype(np.float32), world_from_camera=pose)


if __name__ == "__main__":
    typer.run(main)

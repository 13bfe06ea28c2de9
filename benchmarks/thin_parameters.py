"""The rates of the occupancy grid behind thin structures, fitted on simulated rooms that no other benchmark reports.

Cells of rooms 100 to 103 in front of the fused mesh: a cell is occupied if the true surface runs within 0.75 voxels of
it, and free if none is within 1.5. The hit rate, the clutter rate and the prior odds maximise the likelihood of that.
Recall is the share of the occupied cells that are taken, precision the share of occupied ones among those taken; the
last rows halve and double one parameter each, of a probability its odds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import typer
from jaxtyping import Bool, Float
from scipy.optimize import minimize
from scipy.spatial import cKDTree
from scipy.special import expit, logit

from benchmarks.results import Table, text_of, write_result
from benchmarks.scenes import DATASET, prepare, room, run_pipeline
from benchmarks.study import ROOMS, RUNS
from panrecon.config import Settings
from panrecon.datasets.base import dataset
from panrecon.geometry.projective import transform, unproject
from panrecon.geometry.raycasting import Raycaster
from panrecon.geometry.resizing import resize_view, scale_to_side
from panrecon.io.categories import read_categories
from panrecon.io.mesh import read_mesh
from panrecon.io.scan import read_scan, scan_views
from panrecon.refinement.occupancy import DepthFrame, OccupancyGrid, is_in_front, log_odds
from panrecon.refinement.parameters import RefinementParameters
from panrecon.structures import TriangleMesh, Views
from panrecon.terminal import exit_on_input_error

NAME: Final = "thin_parameters"
SEEDS: Final = (100, 101, 102, 103)
OCCUPIED_DISTANCE: Final = 0.75  # voxels, from the true surface
FREE_DISTANCE: Final = 1.5  # voxels
SAMPLE_SPACING: Final = 0.5  # voxels, between points on the true surface
FITTED: Final = ("hit_rate", "clutter_rate", "occupancy_prior_odds")
PROBABILITIES: Final = ("hit_rate", "clutter_rate", "min_occupancy")
OF_CELLS: Final = ("depth_noise", "min_gap", "gap_deviations", "neighbor_radius")  # they change which cells there are
PARAMETERS: Final = RefinementParameters(Settings().mesh.voxel_size)


@dataclass(frozen=True)
class TrainingRoom:
    """The views of a simulated room, its fused mesh and points on its true surface (m, world)."""

    views: Views
    mesh: TriangleMesh
    surface: Float[np.ndarray, "p 3"]

    def cells(self, parameters: RefinementParameters) -> "TrainingCells":
        """The cells in front of the fused mesh."""
        raycaster = Raycaster(self.mesh)
        positions = []
        frames = []
        for index in range(len(self.views.poses)):
            view = self.views.read(index)
            view = resize_view(view, scale_to_side(view.camera.width, view.camera.height, parameters.image_side))
            mesh_depth = raycaster.cast(view.camera, view.world_from_camera).depth
            is_front = is_in_front(view.depth, mesh_depth, parameters)
            positions.append(transform(view.world_from_camera, unproject(view.camera, view.depth)[is_front]))
            frames.append(DepthFrame.of(view, is_front))
        position = np.concatenate(positions)
        frame = np.repeat(np.arange(len(frames)), [len(of_frame) for of_frame in positions])
        distance, _ = cKDTree(self.mesh.vertices).query(position)
        is_new = distance > parameters.metres(parameters.neighbor_radius)
        grid = OccupancyGrid.of(position[is_new], frame[is_new], len(frames), parameters)
        true_distance = np.asarray(cKDTree(self.surface).query(grid.position)[0])
        return TrainingCells(grid, frames, true_distance / parameters.voxel_size)


@dataclass(frozen=True)
class TrainingCells:
    """Cells and what every frame measures, with the distance (voxels) of each cell to the true surface."""

    grid: OccupancyGrid
    frames: Sequence[DepthFrame]
    true_distance: Float[np.ndarray, " c"]

    @cached_property
    def is_occupied(self) -> Bool[np.ndarray, " c"]:
        return np.asarray(self.true_distance < OCCUPIED_DISTANCE)

    @cached_property
    def is_known(self) -> Bool[np.ndarray, " c"]:
        """Whether a cell is occupied or free for sure."""
        return np.asarray(self.is_occupied | (self.true_distance > FREE_DISTANCE))

    def log_odds(self, parameters: RefinementParameters) -> Float[np.ndarray, " c"]:
        return log_odds(self.grid, np.arange(len(self.grid.position)), self.frames, parameters)


def main() -> None:
    """Prints and writes the fitted rates, recall and precision, and what they become with other parameters."""
    rooms = list(training_rooms())
    cells = [training_room.cells(PARAMETERS) for training_room in rooms]
    fitted = fit(cells, PARAMETERS)
    values = Table(
        ("parameter", "package", "fitted"),
        [(name, f"{getattr(PARAMETERS, name):.3g}", f"{getattr(fitted, name):.3g}") for name in FITTED],
    )
    rows = [("package", *rates(cells, PARAMETERS)), ("fitted", *rates(cells, fitted))]
    for name, value in changed_values():
        change: dict[str, Any] = {name: value}
        changed = replace(PARAMETERS, **change)
        seen = [training_room.cells(changed) for training_room in rooms] if name in OF_CELLS else cells
        rows.append((f"{name} = {value:.3g}", *rates(seen, changed)))
    table = Table(("parameters", "recall", "precision"), [(name, f"{r:.3f}", f"{p:.3f}") for name, r, p in rows])
    write_result(NAME, [values, table], {"fitted": {name: getattr(fitted, name) for name in FITTED}, "rates": rows})
    print(text_of([values, table]))


def changed_values() -> Iterator[tuple[str, float]]:
    """Every parameter with its half and its double; of a probability, half and double its odds."""
    for name in dict.fromkeys((*FITTED, *PROBABILITIES, *OF_CELLS)):
        value = getattr(PARAMETERS, name)
        for factor in (0.5, 2.0):
            odds = factor * value / (1 - value)
            yield name, odds / (1 + odds) if name in PROBABILITIES else factor * value


def training_rooms() -> Iterator[TrainingRoom]:
    """The rooms, which are simulated and fused if they are not there."""
    for seed in SEEDS:
        scene = room(seed, ROOMS)
        prepare(scene, RUNS)
        run_pipeline(scene, RUNS, NAME, "mesh", [])
        run = RUNS / NAME / DATASET / scene.name
        truth = dataset(DATASET).annotation(scene.raw, read_categories(run / "scan" / "classes.csv")).mesh
        surface = surface_points(truth, PARAMETERS.metres(SAMPLE_SPACING))
        yield TrainingRoom(scan_views(read_scan(run / "scan")), read_mesh(run / "mesh" / "mesh.ply"), surface)


def surface_points(mesh: TriangleMesh, spacing: float) -> Float[np.ndarray, "p 3"]:
    """Random points on a surface, one per square of this side (m) on average."""
    import trimesh

    surface = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    points, _ = trimesh.sample.sample_surface(surface, int(np.ceil(surface.area / spacing**2)), seed=0)
    return np.asarray(points)


def fit(cells: Sequence[TrainingCells], parameters: RefinementParameters) -> RefinementParameters:
    """The parameters with the rates and prior odds that maximise the likelihood of the true cells."""

    def with_values(values: Float[np.ndarray, "3"]) -> RefinementParameters:
        hit_rate, clutter_rate = expit(values[:2])
        odds = float(np.exp(values[2]))
        return replace(parameters, hit_rate=hit_rate, clutter_rate=clutter_rate, occupancy_prior_odds=odds)

    def loss(values: Float[np.ndarray, "3"]) -> float:
        changed = with_values(values)
        if changed.clutter_rate >= changed.hit_rate:
            return float("inf")
        signed = [np.where(c.is_occupied, -1, 1)[c.is_known] * c.log_odds(changed)[c.is_known] for c in cells]
        return float(np.logaddexp(0, np.concatenate(signed)).mean())

    odds = parameters.occupancy_prior_odds
    start = np.array([logit(parameters.hit_rate), logit(parameters.clutter_rate), np.log(odds)])
    result = minimize(loss, start, method="Nelder-Mead", options={"xatol": 0.02, "fatol": 1e-5})
    return with_values(result.x)


def rates(cells: Sequence[TrainingCells], parameters: RefinementParameters) -> tuple[float, float]:
    """Recall and precision of the cells that are taken."""
    taken = [room_cells.log_odds(parameters) >= logit(parameters.min_occupancy) for room_cells in cells]
    true = sum((is_taken & c.is_occupied).sum() for is_taken, c in zip(taken, cells, strict=True))
    known = sum((is_taken & c.is_known).sum() for is_taken, c in zip(taken, cells, strict=True))
    return float(true / sum(c.is_occupied.sum() for c in cells)), float(true / max(known, 1))


if __name__ == "__main__":
    with exit_on_input_error():
        typer.run(main)

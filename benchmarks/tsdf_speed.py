"""Is the fusion worth a kernel of its own? Against Open3D's VoxelBlockGrid, in one run, in turn; medians and ratio.

Both get the same views in memory, the demo room's, and the same voxel size, truncation and greatest depth. A whole
fusion is timed, from an empty volume to the last frame; then the surface is compared with the exact one.
"""

import os
import statistics
import time
from dataclasses import asdict, dataclass
from typing import Annotated, Final

import typer

from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import prepare, room
from benchmarks.study import ROOMS, RUNS
from panrecon.config import MeshSettings, ScanSettings
from panrecon.datasets.base import dataset
from panrecon.evaluation.metrics.geometric import surface_quality
from panrecon.fusion.chunks import plan_chunks
from panrecon.fusion.cleaning import canonical, without_small_components
from panrecon.fusion.tsdf import Region, TSDFVolume
from panrecon.fusion.voxel_block_grid import VoxelBlockGrid
from panrecon.io.images import read_color, read_depth
from panrecon.io.mesh import read_mesh
from panrecon.structures import TriangleMesh, View, Views

NAME: Final = "tsdf_speed"
OURS, PEER = "panrecon", "Open3D VoxelBlockGrid"
REPEATS: Final = 9
VOXEL_SIZES: Final = (0.02, 0.01)  # m


@dataclass(frozen=True)
class FusionTiming:
    """Median frames a second of one implementation, and the time (s) and the distances from the truth (m) of its mesh.

    `side` is the implementation, `normal_consistency` lies in [0, 1].
    """

    voxel_size: float
    side: str
    frames_a_second: float
    surface_seconds: float
    vertices: int
    accuracy: float
    completeness: float
    normal_consistency: float


class OurFusion:
    """Our fusion in one chunk that holds all views."""

    def __init__(self, settings: MeshSettings, views: list[View]) -> None:
        planned = plan_chunks(Views.of(views), settings.model_copy(update={"chunk_size": 1000.0}))
        self._chunk = planned.chunks[0]
        self._volume = TSDFVolume(Region(planned.lower, self._chunk.low, self._chunk.high + 1), settings)

    def integrate(self, view: View) -> None:
        """Adds one view to the volume."""
        self._volume.integrate(view)

    def surface(self) -> TriangleMesh:
        """The mesh of all views so far."""
        mesh = self._volume.surface(self._chunk.low, self._chunk.high)
        return TriangleMesh(mesh.vertices, mesh.faces, mesh.colors)


def main(quick: Annotated[bool, typer.Option(help="three repeats at 2 cm")] = False) -> None:
    """The table of both sides by voxel size."""
    scene = room(0, ROOMS)
    prepare(scene, RUNS / "bench" / "features")
    scan = dataset("scannet").scan(scene.raw, ScanSettings())
    views = [
        View(f.name, scan.camera, f.world_from_camera, read_color(f.color), read_depth(f.depth, scan.depth_scale))
        for f in scan.frames
    ]
    truth = read_mesh(scene.raw / f"{scene.name}_vh_clean_2.ply")
    load = os.getloadavg()[0]
    rows = [
        row
        for voxel_size in (VOXEL_SIZES[:1] if quick else VOXEL_SIZES)
        for row in compared(views, MeshSettings(voxel_size=voxel_size), truth, 3 if quick else REPEATS)
    ]
    size = f"{scan.camera.width} x {scan.camera.height}"
    report: Report = [table(rows), f"{len(views)} frames of {size}; load before: {load:.1f}."]
    write_result(NAME, report, {"load": load, "rows": [asdict(row) for row in rows]})
    print(text_of(report))


def compared(views: list[View], settings: MeshSettings, truth: TriangleMesh, repeats: int) -> list[FusionTiming]:
    """The timings of both implementations, run in turn; the first round, which compiles, does not count."""
    seconds: dict[str, list[float]] = {OURS: [], PEER: []}
    fused: dict[str, OurFusion | VoxelBlockGrid] = {}
    for _ in range(repeats + 1):
        for side, times in seconds.items():
            fused.pop(side, None)
            started = time.perf_counter()
            fused[side] = OurFusion(settings, views) if side == OURS else VoxelBlockGrid(settings)
            for view in views:
                fused[side].integrate(view)
            times.append(time.perf_counter() - started)
    return [measured(side, fused[side], settings, times[1:], len(views), truth) for side, times in seconds.items()]


def measured(
    side: str,
    fusion: OurFusion | VoxelBlockGrid,
    settings: MeshSettings,
    times: list[float],
    frames: int,
    truth: TriangleMesh,
) -> FusionTiming:
    """The timing of one implementation from the seconds of its fusions, and the quality of its mesh."""
    fusion.surface()  # compiles
    started = time.perf_counter()
    mesh = fusion.surface()
    surface_seconds = time.perf_counter() - started
    mesh = canonical(without_small_components(mesh, settings.min_component_faces))
    quality = surface_quality(mesh, truth)
    return FusionTiming(
        settings.voxel_size,
        side,
        frames / statistics.median(times),
        surface_seconds,
        len(mesh.vertices),
        quality.accuracy,
        quality.completeness,
        quality.normal_consistency,
    )


def table(rows: list[FusionTiming]) -> Table:
    """A table with a row for every voxel size and implementation."""
    cells = []
    for row in rows:
        peer = next(other for other in rows if other.side == PEER and other.voxel_size == row.voxel_size)
        cells.append(
            [
                *(f"{100 * row.voxel_size:g} cm", row.side, f"{row.frames_a_second:.0f}"),
                *(f"{row.frames_a_second / peer.frames_a_second:.2f} x", f"{row.surface_seconds:.2f} s"),
                *(f"{row.vertices:,}", f"{1000 * row.accuracy:.1f} mm", f"{1000 * row.completeness:.1f} mm"),
                f"{row.normal_consistency:.3f}",
            ]
        )
    head = ["voxels", "fusion", "frames a second", "ratio", "surface", "vertices", "accuracy", "completeness"]
    return Table([*head, "normal consistency"], cells)


if __name__ == "__main__":
    typer.run(main)

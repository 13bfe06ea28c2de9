"""The cost of long scans and long drives: seconds and peak memory of the stages scan and mesh, by number of frames.

The scan is of ScanNet's size: depth 640 x 480, colour 1296 x 968. It is made of 100 distinct frames of a built-in room,
rendered at 640 x 480 (colour enlarged), each repeated 20 times by hard links with its pose moved by about a millimetre:
2,000 frames are read, decoded and fused, the surface is that of one room. Shorter scans take every second or fourth
frame.

The drive is a street of 300 m between houses, a frame a metre, depth up to 40 m, ray-cast without noise; it is fused at
10 cm in one piece and in chunks, whose meshes must have the same bytes.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import trimesh
import typer
from jaxtyping import UInt8

from benchmarks.measure import stage_costs
from benchmarks.results import Report, Table, text_of, write_result
from benchmarks.scenes import DATASET, BenchScene, panrecon, run_pipeline
from benchmarks.study import ROOMS, RUNS
from panrecon.config import MeshSettings, ScanSettings
from panrecon.datasets.base import dataset
from panrecon.fusion.chunks import plan_chunks
from panrecon.fusion.tsdf import Region, TSDFVolume
from panrecon.geometry.projective import look_at, pixel_directions, resample, transform
from panrecon.geometry.raycasting import Raycaster
from panrecon.io.files import read_json, write_text
from panrecon.io.images import read_color, read_depth, write_depth, write_image
from panrecon.io.scan import read_scan, scan_views
from panrecon.structures import Camera, TriangleMesh

NAME: Final = "scale"
DISTINCT: Final = 100  # rendered frames of the long scan
REPEATS: Final = 20  # of each of them
STRIDES: Final = {500: 4, 1_000: 2, 2_000: 1}  # by number of frames
COLOR_SIZE: Final = (1296, 968)
POSE_JITTER: Final = 0.001  # m
LENGTH: Final = 300  # m, of the drive
STREET_CAMERA: Final = Camera(704, 188, 276.0, 276.0, 341.0, 119.0)  # KITTI-360's at half its size
DRIVE: Final = ("mesh.voxel_size=0.1", "mesh.depth_max=40")
CHUNKS: Final = {"one piece": 1000.0, "chunks of 128 m (default)": 128.0, "chunks of 51.2 m": 51.2}
SAMPLED: Final = 40  # frames whose steps are timed one by one


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage on so many frames: wall time (s), peak memory (MB) and the digest of its result."""

    what: str
    stage: str
    frames: int
    seconds: float
    peak_memory_mb: int
    digest: str


def main() -> None:
    """Three tables: the cost by number of frames, the time of each step of a frame, and the cost of the drive."""
    load = os.getloadavg()[0]
    scan = BenchScene("room", ROOMS / "long_scan")
    drive = BenchScene("drive", ROOMS / "long_drive")
    write_once(scan, long_scan)
    write_once(drive, long_drive)
    grown = [
        row
        for count, stride in STRIDES.items()
        for row in costs(scan, f"scale_{count}", count, [f"scan.frame_stride={stride}"], ("scan", "mesh"))
    ]
    steps = times_of_a_frame(scan, RUNS / f"scale_{max(STRIDES)}" / DATASET / scan.name)
    driven = [
        replace(row, what=name)
        for name, size in CHUNKS.items()
        for row in costs(drive, f"scale_{size:g}", LENGTH, [*DRIVE, f"mesh.chunk_size={size}"], ("mesh",))
    ]
    same = len({row.digest for row in driven}) == 1
    report: Report = [
        cost_table(grown),
        Table(["a frame, one thread", "median"], [[name, f"{1000 * value:.1f} ms"] for name, value in steps.items()]),
        cost_table(driven),
        f"All meshes of the drive have the same bytes: {'yes' if same else 'NO'}. Load before: {load:.1f}.",
    ]
    record = {"growth": [asdict(row) for row in grown], "drive": [asdict(row) for row in driven], "steps": steps}
    write_result(NAME, report, {"load": load, **record})
    print(text_of(report))


def costs(scene: BenchScene, run: str, frames: int, overrides: list[str], stages: Sequence[str]) -> list[StageCost]:
    """The costs that the stages recorded when they last ran."""
    run_pipeline(scene, RUNS, run, "mesh", overrides)
    folder = RUNS / run / DATASET / scene.name
    cost_of_stage = stage_costs(folder, "mesh")
    return [
        StageCost(
            scene.name,
            stage,
            frames,
            cost_of_stage[stage].seconds,
            cost_of_stage[stage].peak_memory_mb,
            read_json(folder / stage / "settings.json")["digest"],
        )
        for stage in stages
    ]


def cost_table(rows: Sequence[StageCost]) -> Table:
    """A table with a row for every cost."""
    cells = [
        [
            *(row.what, row.stage, f"{row.frames:,}", f"{row.seconds:.1f}", f"{row.frames / row.seconds:.0f}"),
            str(row.peak_memory_mb),
        ]
        for row in rows
    ]
    return Table(["of", "stage", "frames", "seconds", "frames a second", "peak memory, MB"], cells)


def times_of_a_frame(scene: BenchScene, run: Path) -> dict[str, float]:
    """The median seconds of every step that the stages scan and mesh take with a frame."""
    raw = dataset(DATASET).scan(scene.raw, ScanSettings())
    scan = read_scan(run / "scan")
    sampled = np.linspace(0, len(scan.frames) - 1, SAMPLED).astype(int).tolist()
    colors = [read_color(raw.frames[frame_index].color) for frame_index in sampled]
    registered = [resample(color, raw.source_camera, raw.camera) for color in colors]
    views = [scan_views(scan).read(frame_index) for frame_index in sampled]
    settings = MeshSettings()
    planned = plan_chunks(scan_views(scan), settings)
    volume = TSDFVolume(Region(planned.lower, planned.chunks[0].low, planned.chunks[0].high + 1), settings)
    for view in views:
        volume.integrate(view)
    return {
        "scan: decode colour": median_time(lambda n: read_color(raw.frames[sampled[n]].color)),
        "scan: decode depth": median_time(lambda n: read_depth(raw.frames[sampled[n]].depth, raw.depth_scale)),
        "scan: register colour": median_time(lambda n: resample(colors[n], raw.source_camera, raw.camera)),
        "scan: encode colour": median_time(
            lambda n: cv2.imencode(".jpg", registered[n], [cv2.IMWRITE_JPEG_QUALITY, 92])
        ),
        "mesh: decode both": median_time(lambda n: scan_views(scan).read(sampled[n])),
        "mesh: fuse (all cores)": median_time(lambda n: volume.integrate(views[n])),
    }


def median_time(work: Callable[[int], object]) -> float:
    """The median seconds of `work` over the indices 0 .. SAMPLED - 1."""
    times = []
    for index in range(SAMPLED):
        started = time.perf_counter()
        work(index)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def write_once(scene: BenchScene, write: Callable[[Path], None]) -> None:
    """Writes a raw scene unless it is complete."""
    if not (scene.raw / "written").is_file():
        write(scene.raw)
        write_text(scene.raw / "written", "")


def long_scan(folder: Path) -> None:
    """Writes DISTINCT rendered frames, each linked REPEATS times, with colour enlarged to ScanNet's size."""
    source = folder.with_name(f"{folder.name}_source")
    if not source.is_dir():
        panrecon("simulate", "room", str(source), "--frames", str(DISTINCT), "--width", "640")
    scan = dataset(DATASET).scan(source, ScanSettings())
    rng = np.random.default_rng(0)
    for frame_index, frame in enumerate(scan.frames):
        large = cv2.resize(read_color(frame.color), COLOR_SIZE, interpolation=cv2.INTER_CUBIC)
        write_image(folder / "color" / f"{frame_index}.jpg", large)
        link(frame.depth, folder / "depth" / f"{frame_index}.png")
        for copy in range(1, REPEATS):
            name = str(frame_index + copy * DISTINCT)
            link(folder / "color" / f"{frame_index}.jpg", folder / "color" / f"{name}.jpg")
            link(frame.depth, folder / "depth" / f"{name}.png")
        for copy in range(REPEATS):
            pose = frame.world_from_camera.copy()
            pose[:3, 3] += rng.normal(size=3) * POSE_JITTER * (copy > 0)
            write_matrix(folder / "pose" / f"{frame_index + copy * DISTINCT}.txt", pose)
    x, y = COLOR_SIZE[0] / scan.camera.width, COLOR_SIZE[1] / scan.camera.height
    c = scan.camera
    color = Camera(*COLOR_SIZE, c.fx * x, c.fy * y, (c.cx + 0.5) * x - 0.5, (c.cy + 0.5) * y - 0.5)
    write_intrinsics(folder, color=color, depth=c)


def link(source: Path, target: Path) -> None:
    """Makes `target` a hard link to `source`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    os.link(source.resolve(), target)


def long_drive(folder: Path) -> None:
    """Writes a frame a metre along the street, the camera 1.6 m high and weaving a little."""
    raycaster = Raycaster(street())
    for frame_index in range(LENGTH):
        eye = np.array([frame_index, 1.5 * np.sin(frame_index / 25), 1.6])
        pose = look_at(eye, eye + np.array([10.0, np.sin(frame_index / 9), -0.3]))
        depth = raycaster.cast(STREET_CAMERA, pose).depth
        depth = np.where(np.isfinite(depth) & (depth < 60), depth, 0).astype(np.float32)
        points = transform(pose, pixel_directions(STREET_CAMERA) * depth[..., None])
        color = np.where(depth[..., None] > 0, bricks(points), 255).astype(np.uint8)
        write_image(folder / "color" / f"{frame_index}.jpg", color)
        write_depth(folder / "depth" / f"{frame_index}.png", depth)
        write_matrix(folder / "pose" / f"{frame_index}.txt", pose)
    write_intrinsics(folder, color=STREET_CAMERA, depth=STREET_CAMERA)


def street() -> TriangleMesh:
    """The mesh of a road, houses with bays on both sides, and parked cars (m)."""
    boxes = [((LENGTH / 2, 0.0, -0.5), (LENGTH + 120.0, 40.0, 1.0))]
    rng = np.random.default_rng(0)
    for x in range(-40, LENGTH + 60, 12):
        for side in (-1, 1):
            height = rng.uniform(8, 16)
            setback = rng.uniform(0, 2)
            boxes.append(((x + 6.0, side * (14 + setback), height / 2), (11.0, 8.0, height)))
            boxes.append(((x + 3.0, side * (9.6 + setback), 4.0), (2.5, 1.0, 2.0)))
            boxes.append(((x + rng.uniform(2, 8), side * 7.0, 0.75), (4.2, 1.8, 1.5)))
    cube = trimesh.creation.box((1.0, 1.0, 1.0))
    vertices = np.concatenate([cube.vertices * size + center for center, size in boxes])
    faces = np.concatenate([cube.faces + len(cube.vertices) * box_index for box_index in range(len(boxes))])
    colors = np.full((len(vertices), 3), 128, np.uint8)
    return TriangleMesh(vertices.astype(np.float32), faces.astype(np.int32), colors)


def bricks(points: np.ndarray) -> UInt8[np.ndarray, "h w 3"]:
    """A brick pattern: the colours of world points (m)."""
    courses = np.floor(points / np.array([2.0, 2.0, 1.0])).astype(int)
    shade = 90 + 40 * (courses.sum(axis=-1) % 2)
    return np.stack([shade + 60, shade + 10 * (courses[..., 2] % 3), shade], axis=-1).astype(np.uint8)


def write_intrinsics(folder: Path, color: Camera, depth: Camera) -> None:
    """Writes both cameras as ScanNet does: matrices in `intrinsic/`, sizes in `<scene>.txt`."""
    sizes = []
    for kind, camera in (("color", color), ("depth", depth)):
        matrix = np.eye(4)
        matrix[:3, :3] = camera.matrix
        write_matrix(folder / "intrinsic" / f"intrinsic_{kind}.txt", matrix)
        sizes += [f"{kind}Width = {camera.width}", f"{kind}Height = {camera.height}"]
    write_text(folder / f"{folder.name}.txt", "\n".join(sizes) + "\n")


def write_matrix(path: Path, matrix: np.ndarray) -> None:
    """Writes a matrix as text, one row a line."""
    write_text(path, "\n".join(" ".join(f"{value:.9g}" for value in row) for row in matrix) + "\n")


if __name__ == "__main__":
    typer.run(main)

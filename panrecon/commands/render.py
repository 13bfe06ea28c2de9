"""`panrecon render`: images of a finished scene from any pose, and an orbit around it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import typer
from jaxtyping import Float, UInt8

from panrecon.errors import InputError
from panrecon.terminal import exit_on_input_error, track

if TYPE_CHECKING:
    from panrecon.structures import CategoryTable, PanopticMesh

SCAN_POSES: Final = 8  # rendered where no poses are named
FRAME_RATE: Final = 15  # of the orbit, images a second
ORBIT_SIZE: Final = (360, 480)  # px, height and width of either half of an image of the orbit


def render(
    run: Annotated[Path, typer.Argument(help="a scene's run, such as data/runs/demo/scannet/room0")],
    poses: Annotated[
        Path | None,
        typer.Option(help="folder of <name>.txt (4 x 4, camera to world) or scan.json; default: 8 of the scan"),
    ] = None,
    width: Annotated[int | None, typer.Option(min=16, help="of the images, px; default the scan's")] = None,
    orbit: Annotated[int, typer.Option(min=0, help="number of images of an orbit around the scene; 0: none")] = 60,
    out: Annotated[Path | None, typer.Option(help="folder to write to; default <run>/rendered")] = None,
) -> None:
    """Colour, depth, normals, class and instance of a finished scene at poses, and orbit.mp4 and orbit.gif around it.

    Reads the run's scan, field and panoptic mesh; writes color/, depth/ (mm), normal/, semantic/ and instance/. Exit
    code 2: the input is wrong, in one sentence.
    """
    from panrecon.datasets.poses import read_poses
    from panrecon.field.scene_renderer import SceneRenderer
    from panrecon.io.field import read_field
    from panrecon.io.panoptic import read_result
    from panrecon.io.rendered import write_images
    from panrecon.io.scan import read_scan
    from panrecon.visualization import evenly_spaced

    with exit_on_input_error():
        if not (run / "panoptic" / "settings.json").is_file():
            raise InputError(
                f"{run} holds no finished panoptic/; name a scene's run, such as data/runs/demo/scannet/room0."
            )
        scan = read_scan(run / "scan")
        scan_poses = {frame.name: frame.world_from_camera for frame in scan.frames}
        spaced = [list(scan_poses)[index] for index in evenly_spaced(len(scan_poses), SCAN_POSES)]
        pose_of = {name: scan_poses[name] for name in spaced} if poses is None else read_poses(poses)
        camera = scan.camera if width is None else scan.camera.scaled(width / scan.camera.width)
        panoptic, table = read_result(run / "panoptic")
        field, box = read_field(run / "field")
        renderer = SceneRenderer(field, box, panoptic, table.background)
        folder = out or run / "rendered"
        for name, pose in track(list(pose_of.items()), "render", len(pose_of)):
            write_images(folder, name, renderer.images(camera, pose), table)
        print(f"{len(pose_of)} poses, {camera.width} x {camera.height}: {folder}")
        if orbit:
            write_orbit(folder, panoptic, list(scan_poses.values()), table, orbit)


def write_orbit(
    folder: Path, panoptic: "PanopticMesh", poses: list[np.ndarray], table: "CategoryTable", count: int
) -> None:
    """Writes `orbit.mp4` and `orbit.gif`, the mesh in colour beside its labels, in `count` images around it.

    The vertical is estimated from the mesh and the camera `poses` (world from camera).
    """
    from panrecon.io.video import write_video
    from panrecon.layout.gravity import estimate_gravity

    up = estimate_gravity(panoptic.mesh, np.stack(poses)).up
    images = list(track(_orbit(panoptic, up, table, count), "orbit", count))
    for suffix in ("mp4", "gif"):
        write_video(folder / f"orbit.{suffix}", images, FRAME_RATE)
    print(f"{count} images around it: {folder / 'orbit.mp4'}, {folder / 'orbit.gif'}")


def _orbit(
    panoptic: "PanopticMesh", up: Float[np.ndarray, "3"], table: "CategoryTable", count: int
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    from panrecon.geometry.raycasting import index_kept
    from panrecon.visualization import label_colors, mesh_view, orbit_views

    colors = label_colors(panoptic.labels, table)
    camera, poses = orbit_views(panoptic.mesh, up, count, *ORBIT_SIZE)
    with index_kept():
        for pose in poses:
            view = mesh_view(panoptic.mesh, camera, pose)
            yield np.concatenate([view.paint(panoptic.mesh.colors), view.paint(colors)], axis=1)

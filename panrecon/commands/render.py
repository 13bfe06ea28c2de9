"""`panrecon render`: images of a finished scene from any pose, and a flight around it."""

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
from panrecon.field.scene_renderer import SceneRenderer
from panrecon.io.rendered import write_images

SHOWN: Final = 8  # of the scan's own poses, where none are named


PER_SECOND: Final = 15  # pictures of the orbit


ORBIT_SIZE: Final = (360, 480)  # height and width of each of its two pictures


def render(
    run: Annotated[Path, typer.Argument(help="a scene's run, such as data/runs/demo/scannet/room0")],
    poses: Annotated[
        Path | None, typer.Option(help="folder of <name>.txt (4 x 4, camera to world) or a scan.json; default: 8 own")
    ] = None,
    width: Annotated[int | None, typer.Option(min=16, help="of the images, pixels; default the scan's")] = None,
    orbit: Annotated[int, typer.Option(min=0, help="pictures of a flight around the scene; 0: none")] = 60,
    out: Annotated[Path | None, typer.Option(help="folder to write to; default <run>/rendered")] = None,
) -> None:
    """Colour, depth, normals, class and instance of a finished scene at poses, and orbit.mp4 and orbit.gif around it.

    Reads the run's scan, field and panoptic mesh; writes color/, depth/ (mm), normal/, semantic/ and instance/. Exit
    code 2: the input is wrong, in one sentence.
    """
    from panrecon.datasets.poses import read_poses
    from panrecon.io.categories import read_categories
    from panrecon.io.field import read_field
    from panrecon.io.mesh import read_panoptic_mesh
    from panrecon.io.scan import read_scan
    from panrecon.visualization import evenly_spaced

    with exit_on_input_error():
        if not (run / "panoptic" / "settings.json").is_file():
            raise InputError(
                f"{run} holds no finished panoptic/; name a scene's run, such as data/runs/demo/scannet/room0."
            )
        scan, table = read_scan(run / "scan"), read_categories(run / "scan" / "classes.csv")
        own = {frame.name: frame.world_from_camera for frame in scan.frames}
        some = [list(own)[number] for number in evenly_spaced(len(own), SHOWN)]
        wanted = {name: own[name] for name in some} if poses is None else read_poses(poses)
        camera = scan.camera if width is None else scan.camera.scaled(width / scan.camera.width)
        panoptic = read_panoptic_mesh(run / "panoptic" / "panoptic.ply", table)
        field, box = read_field(run / "field")
        renderer, folder = SceneRenderer(field, box, panoptic, table.background), out or run / "rendered"
        for name, pose in track(list(wanted.items()), "render", len(wanted)):
            write_images(folder, name, renderer.images(camera, pose), table)
        print(f"{len(wanted)} poses, {camera.width} x {camera.height}: {folder}")
        if orbit:
            write_orbit(folder, panoptic, list(own.values()), table, orbit)


def write_orbit(
    folder: Path, panoptic: "PanopticMesh", poses: list[np.ndarray], table: "CategoryTable", count: int
) -> None:
    """`orbit.mp4` and `orbit.gif`: the mesh in colour and in labels, side by side."""
    from panrecon.geometry.projective import up_direction
    from panrecon.io.video import write_video

    pictures = list(track(_orbit(panoptic, up_direction(np.stack(poses)), table, count), "orbit", count))
    for suffix in ("mp4", "gif"):
        write_video(folder / f"orbit.{suffix}", pictures, PER_SECOND)
    print(f"{count} pictures around it: {folder / 'orbit.mp4'}, {folder / 'orbit.gif'}")


def _orbit(
    panoptic: "PanopticMesh", up: Float[np.ndarray, "3"], table: "CategoryTable", count: int
) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    from panrecon.visualization import label_colors, mesh_view, orbit_views

    colors = label_colors(panoptic.labels, table)
    camera, poses = orbit_views(panoptic.mesh, up, count, *ORBIT_SIZE)
    for pose in poses:
        view = mesh_view(panoptic.mesh, camera, pose)
        yield np.concatenate([view.paint(panoptic.mesh.colors), view.paint(colors)], axis=1)

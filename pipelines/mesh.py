"""Fuse the scan's depth into one coloured mesh."""

from panrecon.fusion.tsdf import fuse
from panrecon.geometry import up_direction
from panrecon.io.images import write_image
from panrecon.io.mesh import write_mesh
from panrecon.io.scan import read_scan, read_views
from panrecon.pictures import overview
from panrecon.stage import Stage, run_stage


def main(stage: Stage) -> None:
    scan = read_scan(stage.folder("scan"))
    mesh = fuse(stage.track(read_views(scan), "frames", len(scan.frames)), stage.settings.mesh)
    write_mesh(stage.output / "mesh.ply", mesh)
    write_image(stage.output / "mesh.png", overview(mesh, up_direction(scan.poses)).paint(mesh.colors))
    stage.say(f"{len(mesh.vertices)} vertices, {len(mesh.faces)} faces")


if __name__ == "__main__":
    run_stage(main)

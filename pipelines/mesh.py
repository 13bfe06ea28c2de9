"""Fuse the scan's depth into one coloured mesh."""

from panrecon.io.images import write_image
from panrecon.io.mesh import write_mesh
from panrecon.io.scan import read_scan, scan_views
from panrecon.layout.gravity import estimate_gravity
from panrecon.pipeline import mesh_stage
from panrecon.visualization import isometric_view
from panrecon.workflow.script import Stage, run_stage


def main(stage: Stage) -> None:
    scan = read_scan(stage.folder("scan"))
    mesh = mesh_stage(scan_views(scan), stage.settings.mesh, stage.progress)
    write_mesh(stage.output / "mesh.ply", mesh)
    up = estimate_gravity(mesh, scan.poses).up
    write_image(stage.output / "mesh.png", isometric_view(mesh, up).paint(mesh.colors))
    stage.say(f"{len(mesh.vertices)} vertices, {len(mesh.faces)} faces")


if __name__ == "__main__":
    run_stage(main)

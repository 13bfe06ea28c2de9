"""Read a raw scene into the one layout that all later stages know."""

from panrecon.datasets.base import dataset
from panrecon.io.categories import read_categories, write_categories
from panrecon.io.images import read_color, write_image
from panrecon.io.scan import write_scan
from panrecon.progress import track
from panrecon.visualization import contact_sheet, evenly_spaced
from panrecon.workflow.script import Stage, run_stage
from panrecon.workflow.sources import class_table


def main(stage: Stage) -> None:
    reader = dataset(stage.scene.dataset)
    raw = stage.scene.raw
    scan = reader.scan(raw, stage.settings.scan)
    classes = class_table(stage.scene.dataset, raw, stage.settings)
    write_categories(stage.output / "classes.csv", read_categories(classes))
    frames = track(scan.frames, stage.progress, "frames", len(scan.frames))
    write_scan(stage.output, scan, frames, reader.depths(raw, scan, stage.settings.scan))
    images = [read_color(scan.frames[index].color) for index in evenly_spaced(len(scan.frames), 8)]
    write_image(stage.output / "scan.jpg", contact_sheet(images, columns=4))
    stage.say(f"{len(scan.frames)} frames of {scan.camera.width} x {scan.camera.height}, classes of {classes.name}")


if __name__ == "__main__":
    run_stage(main)

"""Read a raw scene into the one layout that all later stages know."""

from pathlib import Path

import panrecon
from panrecon.datasets.base import dataset
from panrecon.io.categories import read_categories, write_categories
from panrecon.io.images import read_color, write_image
from panrecon.io.scan import write_scan
from panrecon.pictures import sheet, spread
from panrecon.stage import Stage, run_stage

DEFAULT_CLASSES = Path(panrecon.__file__).parents[1] / "data" / "categories" / "scannet20.csv"


def main(stage: Stage) -> None:
    settings = stage.settings.scan
    own_classes = stage.raw / "classes.csv"
    scan = dataset(stage.dataset).scan(stage.raw, settings)
    classes = settings.classes or (own_classes if own_classes.is_file() else DEFAULT_CLASSES)
    write_categories(stage.output / "classes.csv", read_categories(classes))
    write_scan(stage.output, scan, stage.track(scan.frames, "frames", len(scan.frames)))
    shown = [read_color(scan.frames[number].color) for number in spread(len(scan.frames), 8)]
    write_image(stage.output / "scan.jpg", sheet(shown, columns=4))
    stage.say(f"{len(scan.frames)} frames of {scan.camera.width} x {scan.camera.height}, classes of {classes.name}")


if __name__ == "__main__":
    run_stage(main)

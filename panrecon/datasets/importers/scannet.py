"""Scans that lie in ScanNet's export layout already (`panrecon.datasets.scannet.format`), with all that lies beside.

color/<i>.jpg, .png  depth/<i>.png (16 bit, mm)  pose/<i>.txt  intrinsic/intrinsic_{color,depth}.txt
Masks, features, class table, annotation and whatever else is in the folder are taken along as they are.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from panrecon.datasets.importers.base import OWN_NAME, Source, SourceFrame, pixels_of
from panrecon.datasets.poses import read_pose
from panrecon.datasets.scannet.format import DEPTH_SCALE, depth_file, images_in, pose_file, read_camera
from panrecon.errors import InputError
from panrecon.io.images import read_depth

FRAMES: Final = ("color", "depth", "pose")
WRITTEN: Final = (*FRAMES, "intrinsic", "import.json")  # anew, by every import


@dataclass(frozen=True)
class ScanNetExport:
    """An Importer of the layout that imports are written in."""

    name: str = "scannet"
    needs: str = "a folder with color/, depth/, pose/ (<i>.txt, 4 x 4) and intrinsic/intrinsic_depth.txt"
    files: tuple[str, ...] = ("color", "depth", "pose", "intrinsic/intrinsic_depth.txt")

    def recognise(self, path: Path) -> str | None:
        """Why `path` is of this format, in one clause; None where it is not."""
        if not all((path / file).exists() for file in self.files) or (path / "scan.yaml").exists():
            return None
        return "it holds color/, depth/, pose/ and intrinsic/intrinsic_depth.txt"

    def read(self, path: Path) -> Source:
        """The scan; images but the first are not read yet.

        Raises:
            InputError: a file is missing or damaged.
        """
        colors = images_in(path / "color")
        if not colors:
            raise InputError(f"There is no image in {path / 'color'}; export the scan's images there.")
        frames = [
            SourceFrame(
                color.stem,
                read_pose(pose_file(path, color)),
                partial(Path, color),
                partial(read_depth, depth_file(path, color), DEPTH_SCALE),
            )
            for color in colors
        ]
        height, width = frames[0].depth().shape
        color_height, color_width = pixels_of(colors[0]).shape[:2]
        camera = read_camera(path, "depth", width, height)
        color_camera = read_camera(path, "color", color_width, color_height)
        carried = {file.name: file for file in sorted(path.iterdir()) if _is_carried(file)}
        carried |= {f"intrinsic/{file.name}": file for file in (path / "intrinsic").glob("extrinsic_*.txt")}
        notes = [f"taken along as they are: {', '.join(carried)}"] if carried else []
        name = path.resolve().name
        renamed = {
            OWN_NAME + file.removeprefix(name) if file.startswith(name) else file: carried[file] for file in carried
        }
        return Source(camera, color_camera, frames, notes, carried=renamed)


def _is_carried(file: Path) -> bool:
    return file.name not in WRITTEN and not file.name.startswith(".") and file.suffix != ".sens"

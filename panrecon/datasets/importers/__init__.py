"""Scans of other tools and apps, one module a format."""

from panrecon.datasets.importers.arkit_scenes import ARKitScenes
from panrecon.datasets.importers.base import Importer
from panrecon.datasets.importers.colmap import Colmap
from panrecon.datasets.importers.frames import Frames
from panrecon.datasets.importers.nerfstudio import Nerfstudio
from panrecon.datasets.importers.plain import Plain
from panrecon.datasets.importers.polycam import Polycam
from panrecon.datasets.importers.record3d import Record3D
from panrecon.datasets.importers.redwood import Redwood
from panrecon.datasets.importers.replica import Replica
from panrecon.datasets.importers.rosbag import RosBag
from panrecon.datasets.importers.rtabmap import RTABMap
from panrecon.datasets.importers.scanner_app import ScannerApp
from panrecon.datasets.importers.scannet import ScanNetExport
from panrecon.datasets.importers.scannetpp import ScanNetPlusPlus
from panrecon.datasets.importers.sens import Sens
from panrecon.datasets.importers.stray import Stray
from panrecon.datasets.importers.tum import Tum


def all_importers() -> tuple[Importer, ...]:
    """An importer of every format that can be read."""
    phones = (Stray(), Record3D(), Polycam(), ScannerApp())
    return (
        Plain(),
        ScanNetExport(),
        Sens(),
        Tum(),
        Replica(),
        Redwood(),
        Colmap(),
        Nerfstudio(),
        *phones,
        Frames(),
        ARKitScenes(),
        RTABMap(),
        RosBag(),
        ScanNetPlusPlus(),
    )

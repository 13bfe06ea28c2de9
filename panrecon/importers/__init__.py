"""Scans of other tools and apps, one module a format."""

from panrecon.importers.base import Importer
from panrecon.importers.colmap import Colmap
from panrecon.importers.plain import Plain
from panrecon.importers.polycam import Polycam
from panrecon.importers.record3d import Record3D
from panrecon.importers.redwood import Redwood
from panrecon.importers.replica import Replica
from panrecon.importers.sens import Sens
from panrecon.importers.stray import Stray
from panrecon.importers.tum import Tum


def every_importer() -> tuple[Importer, ...]:
    """All of them."""
    return (Plain(), Sens(), Tum(), Replica(), Redwood(), Colmap(), Stray(), Record3D(), Polycam())

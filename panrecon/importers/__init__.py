"""Scans of other tools and apps, one module a format."""

from panrecon.importers.base import Importer
from panrecon.importers.plain import Plain
from panrecon.importers.sens import Sens


def every_importer() -> tuple[Importer, ...]:
    """All of them; what is described by hand comes first."""
    return (Plain(), Sens())

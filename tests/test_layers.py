"""The direction of imports: structures <- algorithms <- io, datasets, command line <- pipelines."""

import ast
from pathlib import Path

import pytest

import panrecon

PACKAGE = Path(panrecon.__file__).parent
FOUNDATION = {"structures", "errors", "geometry", "raycasting", "system", "threads", "pictures", "networks"}
FOUNDATION |= {"tessellation"}
ALGORITHMS = {"accumulation", "fusion", "masks", "features", "graph", "semantics", "field", "evaluation", "simulation"}
ALGORITHMS |= {"diagnosis"}
ALGORITHMS |= {"lidar"}
COMMANDS = {"cli", "simulate", "evaluate", "explain", "render", "judge", "estimate", "rehearsal"}
COMMANDS |= {"weights", "prompts", "import_scan", "simulate_street", "doctor", "lidar_masks", "lidar_commands"}
COMMANDS |= {"lidar_features"}
ABOVE = {"io", "datasets", "importers", "stage", "workflow"} | COMMANDS
FILES = sorted(PACKAGE.rglob("*.py"))


def imported_rooms(path: Path) -> set[str]:
    """The parts of panrecon that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("panrecon."):
            names.add(node.module.split(".")[1])
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("panrecon.")}
    return names


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    mine = room(path)
    forbidden = {"foundation": ALGORITHMS | ABOVE, "algorithm": ABOVE}
    kind = "foundation" if mine in FOUNDATION else "algorithm" if mine in ALGORITHMS else "above"
    assert not imported_rooms(path) & forbidden.get(kind, set())


@pytest.mark.parametrize(
    "path", [p for p in FILES if room(p) not in {"simulation", "simulate", "simulate_street"}], ids=str
)
def test_no_part_of_the_pipeline_knows_the_simulated_teachers(path: Path) -> None:
    assert "simulation" not in imported_rooms(path)


def test_only_quality_reads_annotations() -> None:
    scripts = sorted((PACKAGE.parent / "pipelines").glob("*.py"))
    readers = {path.stem for path in scripts if ".annotation(" in path.read_text()}
    assert readers == {"quality"}


def test_every_room_is_known() -> None:
    rooms = {room(path) for path in FILES} - {"__init__", "config"}
    assert rooms == FOUNDATION | ALGORITHMS | ABOVE

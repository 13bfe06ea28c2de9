"""The direction of imports, as docs/architecture.md states it."""

import ast
import re
from pathlib import Path

import pytest

import panrecon

PACKAGE = Path(panrecon.__file__).parent
PLAN = (PACKAGE.parent / "docs" / "architecture.md").read_text()
LAYERS = [line.split() for line in re.search(r"```layers\n(.*?)```", PLAN, re.DOTALL)[1].strip().splitlines()]  # type: ignore[index]
LAYER_OF_ROOM = {room: layer for layer, rooms in enumerate(LAYERS) for room in rooms}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported_rooms(path: Path) -> set[str]:
    """The rooms of panrecon that a file imports, at its top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("panrecon."):
            names.add(node.module.split(".")[1])
        if isinstance(node, ast.ImportFrom) and node.module == "panrecon":
            names |= {alias.name for alias in node.names if alias.name in LAYER_OF_ROOM}
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("panrecon.")}
    return names


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


@pytest.mark.parametrize("path", [p for p in FILES if room(p) != "__init__"], ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_up_the_plan(path: Path) -> None:
    assert {name for name in imported_rooms(path) if LAYER_OF_ROOM[name] > LAYER_OF_ROOM[room(path)]} == set()


def test_the_plan_places_every_room_once() -> None:
    placed = [room for rooms in LAYERS for room in rooms]
    assert len(placed) == len(set(placed))
    assert set(placed) == {room(path) for path in FILES} - {"__init__"}


def test_no_modules_import_each_other_in_a_circle() -> None:
    modules = {module(path): path for path in FILES}
    imports = {name: _imported_modules(path) & set(modules) - {name} for name, path in modules.items()}
    while leaves := {name for name, others in imports.items() if not others & set(imports)}:
        imports = {name: others for name, others in imports.items() if name not in leaves}
    assert not imports


def _imported_modules(path: Path) -> set[str]:
    """The modules that are imported when this one is."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


@pytest.mark.parametrize(
    "path", [p for p in FILES if room(p) != "simulation" and not p.name.startswith("simulate")], ids=str
)
def test_no_part_of_the_pipeline_knows_the_simulated_teachers(path: Path) -> None:
    assert "simulation" not in imported_rooms(path)


def test_only_quality_reads_annotations() -> None:
    scripts = sorted((PACKAGE.parent / "pipelines").glob("*.py"))
    text_of_script = {path.stem: path.read_text() for path in scripts}
    assert {name for name, text in text_of_script.items() if "annotation" in text.replace("annotations", "")} == {
        "quality"
    }
    assert not any(".annotation(" in text for text in text_of_script.values())
    rooms = {room(path) for path in FILES if ".annotation(" in path.read_text()}
    assert rooms <= {"datasets", "commands"}


@pytest.mark.parametrize("path", sorted((PACKAGE.parent / "pipelines").glob("*.py")), ids=lambda path: path.stem)
def test_a_stage_script_fits_on_a_screen(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 45


def test_the_method_is_composed_in_the_pipeline_alone() -> None:
    """What only a stage function may call is called nowhere else: not in scripts, profiling, ablations, the API."""
    composed = {
        "infer_instances",
        "fit_classifier",
        "lift_features",
        "relabel_by_similarity",
        "propagate",
        "field_data",
    }
    outside = [*(PACKAGE.parent / "pipelines").glob("*.py"), *(PACKAGE / "profiling").glob("*.py"), PACKAGE / "api.py"]
    outside.append(PACKAGE.parent / "benchmarks" / "field_ablation.py")
    for path in outside:
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        assert not names & composed, path

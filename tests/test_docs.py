"""What the documentation shows works as shown, and it shows everything."""

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from numpy.testing import assert_array_equal

import panrecon as pr
from benchmarks import publish
from benchmarks.results import PUBLISHED, Report, Table, published_results, read_result, write_result
from docs.generators import commands, results, settings
from panrecon.config import Settings
from panrecon.errors import InputError
from panrecon.masks.base import Segmenter
from panrecon.structures import Camera, CategoryTable, Frame, Scan
from tests import CHECKOUT


def test_the_segmenter_of_ones_own_is_one(table: CategoryTable) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (CHECKOUT / "docs" / "own_segmenter.md").read_text(), re.DOTALL)
    assert len(program.splitlines()) <= 45
    room: dict[str, Any] = {"__name__": "own_segmenter"}
    exec(compile(program, "own_segmenter.md", "exec", dont_inherit=True), room)
    left, right = np.zeros((6, 8), bool), np.zeros((6, 8), bool)
    left[:, :4], right[:, 4:] = True, True

    def predict(image: np.ndarray, words: list[str]) -> list[tuple[str, float, np.ndarray]]:
        assert "seat" in words
        return [("seat", 0.4, left), ("unicorn", 0.9, left), ("wall", 0.8, right)] if image.any() else []

    camera = Camera(8, 6, 5.0, 5.0, 4.0, 3.0)
    scan = Scan("room", camera, camera, 1000.0, tuple(Frame(n, Path(), Path(), np.eye(4)) for n in ("0", "1")))
    mine = room["MySegmenter"](lambda frame: np.full((6, 8, 3), int(frame.name), np.uint8), predict, 5)
    assert isinstance(mine, Segmenter)
    empty, found = mine.segment(scan, table)
    assert empty.mask.shape == (0, 6, 8)
    assert [table[row].name for row in found.category] == ["wall", "chair"]
    assert_array_equal(found.mask, [right, left])


def test_the_page_of_settings_has_every_setting_by_its_stage() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", settings.settings_page(), re.MULTILINE | re.DOTALL))
    assert {stage: re.findall(r"^\| `(\w+)`", text, re.MULTILINE) for stage, text in sections.items()} == {
        stage: list(type(field.default).model_fields) for stage, field in Settings.model_fields.items()
    }
    assert "| `voxel_size` | `0.02` | number > 0 | m | edge of a TSDF voxel |" in sections["mesh"]


def test_a_unit_is_the_last_word_of_a_clause() -> None:
    assert settings.split_unit("edge of a voxel, m; default: 3") == ("edge of a voxel; default: 3", "m")
    assert settings.split_unit("a mask, m by n") == ("a mask, m by n", "")


def test_the_page_of_commands_has_every_command() -> None:
    described = set(re.findall(r"^## `panrecon ([^`]+)`", commands.commands_page(), re.MULTILINE))
    assert {"run", "doctor", "import", "lidar train", "simulate room", "<stage>"} < described
    assert "`--stride <int" in commands.commands_page()


def test_an_option_that_is_not_described_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    program = typer.Typer(add_completion=False)

    @program.command()
    def described(bare: int = typer.Option(3)) -> None:
        """Described."""

    @program.command()
    def other() -> None:
        """Described."""

    monkeypatch.setattr(commands, "app", program)
    with pytest.raises(ValueError, match=r"`--bare <int>` of `panrecon described` is not described"):
        commands.commands_page()


def test_the_page_of_python_has_every_public_name() -> None:
    page = (CHECKOUT / "docs" / "python.md").read_text()
    assert set(re.findall(r"^::: panrecon\.(\w+)$", page, re.MULTILINE)) >= set(pr.__all__)


PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_links_lead_to_files_or_to_generated_pages(page: Path) -> None:
    generated = {CHECKOUT / "docs" / name for name in ("settings.md", "commands.md", *results.result_pages())}
    links = re.findall(r"\]\(([^)#]+)", re.sub(r"`[^`\n]*`", "", page.read_text()))
    targets = [(page.parent / link).resolve() for link in links if "://" not in link]
    assert not [target for target in targets if not target.exists() and target not in generated]


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """The file of a result."""
    report: Report = [Table(["scene", "PQ"], [["a|b", "93.3"]]), "One sentence."]
    write_result("speed", report, {"seconds": 1 / 3}, tmp_path / "measured")
    return tmp_path / "measured" / "speed.json"


def test_a_page_has_what_its_result_has(measured: Path) -> None:
    page = results.result_page(read_result(measured))
    assert "| a\\|b | 93.3 |" in page and "One sentence." in page
    assert read_result(measured).provenance["commit"][:10] in page
    assert read_result(measured).measurements == {"seconds": 0.333333}


@pytest.mark.parametrize("has_changes", [True, False])
def test_only_what_belongs_to_a_commit_is_published(measured: Path, tmp_path: Path, has_changes: bool) -> None:
    content = json.loads(measured.read_text())
    content["provenance"]["has_uncommitted_changes"] = has_changes
    measured.write_text(json.dumps(content))
    if has_changes:
        with pytest.raises(InputError, match="in no commit"):
            publish.publish(measured, tmp_path / "published")
    else:
        publish.publish(measured, tmp_path / "published")
    published = published_results(tmp_path / "published")
    assert published == ([] if has_changes else [read_result(measured)])


def test_a_block_of_text_gets_the_table_of_its_result_again_and_again(measured: Path) -> None:
    empty = "before\n<!-- result: speed -->\n<!-- end of result -->\nafter\n"
    once = publish.with_results(empty, measured.parent)
    assert "| a\\|b | 93.3 |" in once and once.startswith("before\n") and once.endswith("\nafter\n")
    assert publish.with_results(once, measured.parent) == once
    with pytest.raises(InputError, match="slow"):
        publish.with_results(empty.replace("speed", "slow"), measured.parent)


def test_a_section_is_dropped_up_to_the_next() -> None:
    text = "# All\n\n## slow\n\n1\n\n## speed\n\n2\n"
    assert publish.without_section(text, "slow") == "# All\n\n## speed\n\n2\n"
    assert publish.without_section(text, "speed") == "# All\n\n## slow\n\n1\n\n"


def test_the_readme_is_short_and_has_the_figures_of_the_results() -> None:
    readme = (CHECKOUT / "README.md").read_text()
    assert len(readme.splitlines()) <= 120
    assert publish.BLOCK.search(readme)
    assert publish.with_results(readme, PUBLISHED) == readme


def test_python_in_the_readme_calls_what_there_is() -> None:
    (program,) = re.findall(r"```python\n(.*?)```", (CHECKOUT / "README.md").read_text(), re.DOTALL)
    tree = ast.parse(program)
    calls = {ast.unparse(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    from_arrays, reconstruct = calls["pr.RgbdScan.from_arrays"], calls["pr.reconstruct"]
    parameters = list(inspect.signature(pr.RgbdScan.from_arrays).parameters)
    for parameter, argument in zip(parameters, from_arrays.args, strict=False):
        assert not isinstance(argument, ast.Name) or argument.id == parameter
    inspect.signature(pr.reconstruct).bind(*reconstruct.args, **{str(word.arg): word for word in reconstruct.keywords})
    used = {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "result"
    }
    assert used <= {*pr.Reconstruction.__dataclass_fields__, "save"}


def test_every_file_of_the_results_is_of_one() -> None:
    assert not results.stray_pages(PUBLISHED)


def test_a_published_result_replaces_what_was_copied_by_hand() -> None:
    earlier = publish.EARLIER.read_text()
    assert not [result.name for result in published_results() if f"\n## {result.name}\n" in earlier]


def test_every_benchmark_says_what_it_measures() -> None:
    assert {"tsdf_speed", "labels_against_baseline", "lidar_ablation"} <= set(results.questions())
    assert all(len(question) > 20 for question in results.questions().values())

"""Laws of `panrecon prompts`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from panrecon.cli import app


def test_a_short_table_is_one_prompt_without_a_warning() -> None:
    result = CliRunner().invoke(app, ["prompts", "scene0088_00"])
    assert result.exit_code == 0
    assert "  floor . chair . table . desk . wall . wall skirting . column . tile ." in result.stdout
    assert "pass 1 of 1: " in result.stdout and not result.stderr


def test_a_long_table_is_split_and_warned_of() -> None:
    result = CliRunner().invoke(app, ["prompts", "scannet200"])
    assert result.exit_code == 0
    assert result.stdout.count("pass ") == 3 and "200 classes, 200 words" in result.stdout
    assert "256 tokens at most, so every frame takes 3 passes" in result.stderr


def test_every_class_has_a_line_with_its_role(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("id,name,thing,role\n1,chair,1,\n2,book shelf,1,on_wall\n3,gizmo,1,\n")
    result = CliRunner().invoke(app, ["prompts", str(tmp_path / "mine.csv")])
    assert result.stdout.splitlines()[-4:] == [
        "class       role",
        "chair       standing  (by default)",
        "book shelf  on_wall",
        "gizmo       any  (by default)",
    ]


@pytest.mark.parametrize(("line", "sentence"), [("1,st. bernard,1", "full stop"), ("1,dog,x", "word where a number")])
def test_a_wrong_table_is_one_sentence(line: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(f"id,name,thing\n{line}\n")
    result = CliRunner().invoke(app, ["prompts", str(tmp_path / "mine.csv")])
    assert result.exit_code == 2 and sentence in result.stderr and not result.stdout

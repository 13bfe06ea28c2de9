"""The page of the commands, as typer documents them."""

import ast
import re
from importlib.resources import files
from typing import Final

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from panrecon.cli import app
from panrecon.workflow.script import stage_command
from panrecon.workflow.stages import STAGES

INTRODUCTION: Final = """# Commands

Every command of `panrecon`, its arguments and options; `panrecon <command> --help` prints the same. Exit codes: 0 done;
2 the input is wrong, which one sentence says (what, where, the value, what to do); 1 our fault, with a traceback.

A clone offers `make` beside it, and `make help` lists its targets. `make scannet/<scene>`, `make kitti360/<scene>` and
`make own/<scene>` run `panrecon run`; `make <stage> DATASET=<dataset> SCENE=<scene>` runs until a stage. `DATA=` is
`--data`, `RUN=` is `--run`, `SET="a.b=c d.e=f"` are `--set`, `CORES=` is `--cores`, `CONFIG=` is `--settings`,
`make -n` is `--dry-run`.
"""


def commands_page() -> str:
    """Every command with its arguments and options, in Markdown.

    Raises:
        ValueError: a command, an argument or an option is not described.
    """
    sections = re.split(r"^#+ (?=`panrecon )", _documentation(app, "panrecon"), flags=re.MULTILINE)[1:]
    leaves = [section for section in sections if "**Commands**" not in section]
    stages = [section for section in leaves if _title(section).removeprefix("panrecon ") in STAGES]
    documented = [section for section in leaves if section not in stages]
    return "\n".join([INTRODUCTION, *(f"## {_checked(section)}" for section in documented), _stages()])


def _stages() -> str:
    """The stages, which all have the same options."""
    stage_app = typer.Typer(add_completion=False)
    stage_app.command(help="One stage alone, as `panrecon run` and `make` call it.")(stage_command(lambda stage: None))
    rows = [f"| `panrecon {name}` | {ast.get_docstring(ast.parse(_script(name)))} |" for name in STAGES]
    options = _checked(_documentation(stage_app, "panrecon <stage>").removeprefix("# "))
    return "\n".join([f"## {options}", "| stage | |", "|---|---|", *rows, ""])


def _script(stage: str) -> str:
    """The source of a stage's script, which is slow to import."""
    return (files("panrecon.pipelines") / f"{stage}.py").read_text()


def _documentation(program: typer.Typer, name: str) -> str:
    command = get_command(program)
    return _escaped(get_docs_for_click(obj=command, ctx=typer.Context(command), name=name))


def _title(section: str) -> str:
    return section.split("`")[1]


def _checked(section: str) -> str:
    """The section, without the line on --help.

    Raises:
        ValueError: the command has no help, or a parameter has none.
    """
    heading, _, content = section.replace("* `--help`: Show this message and exit.\n", "").partition("\n")
    bare = re.search(r"^\* (`[^`]+`)(?!: *[^\s[])", content, flags=re.MULTILINE)
    if bare:
        raise ValueError(f"{bare[1]} of {heading} is not described; give it `help=` in panrecon/commands.")
    if content.lstrip().startswith("**Usage**"):
        raise ValueError(f"The command {heading} is not described; give its function a docstring.")
    return f"{heading}\n{content}".replace("**Options**:\n\n\n", "")


def _escaped(text: str) -> str:
    """Angle brackets outside code as Markdown prints them."""
    return re.sub(r"`[^`]*`|<(?=\w)", lambda match: "&lt;" if match[0] == "<" else match[0], text)

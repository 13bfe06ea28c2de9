"""Files beside the package name what exists: versions, targets of make, markers of tests."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from panrecon import __version__
from tests import CHECKOUT

WORKFLOWS = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def commands_of(workflow: Path) -> list[str]:
    """Every command that the steps of a workflow run."""
    jobs = read_yaml(workflow)["jobs"].values()
    return [step["run"] for job in jobs for step in job["steps"] if "run" in step]


def test_the_citation_and_the_changelog_are_of_this_version() -> None:
    assert read_yaml(CHECKOUT / "CITATION.cff")["version"] == __version__
    newest = re.search(r"^## (\S+)", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == __version__


def test_the_citation_has_the_keys_that_its_format_requires() -> None:
    citation = read_yaml(CHECKOUT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert all({"type", "title", "authors"} <= reference.keys() for reference in citation["references"])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_targets_of_make_and_programs_that_exist(workflow: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    commands = commands_of(workflow)
    called = {target for command in commands for target in re.findall(r"^make (\S+)", command, re.MULTILINE)}
    assert called <= targets
    assert all((CHECKOUT / command).is_file() for command in commands if command.startswith("."))
    assert called or ".ci/run" in commands


def test_hooks_call_the_tools_of_the_pinned_environment() -> None:
    (repository,) = read_yaml(CHECKOUT / ".pre-commit-config.yaml")["repos"]
    requirements = (CHECKOUT / "requirements-test.txt").read_text()
    tools = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in repository["hooks"]}
    assert tools == {"ruff", "mypy"}
    assert all(f"\n{tool}==" in requirements for tool in tools)


def test_make_hands_names_to_the_shell_as_they_are(tmp_path: Path) -> None:
    """A downloaded folder may be called anything; blanks are no mistake, and nothing is executed."""
    touched = tmp_path / "touched"
    scene = f"scannet/x;touch {touched};true"
    data = f"{tmp_path}/it's a `touch {touched}` folder"
    make = ["make", "--no-print-directory", "-o", "setup"]
    command = [*make, scene, f"DATA={data}", f"RUN=$$(touch {touched})", "PANRECON=echo"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"run {scene} --data {data} --run $(touch {touched}) --cores 2"
    assert not touched.exists()

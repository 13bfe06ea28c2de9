"""The wheel as a user has it: built from tracked files, installed without the checkout, used in an empty folder.

Beside the wheel stand only the distributions that it declares, and what those require in turn.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parent.parent
PACKAGED = {"pipelines/": "panrecon/pipelines/", "data/categories/": "panrecon/categories/", "panrecon/": "panrecon/"}
ROOM = "raw/scannet/room"
SMALL = (  # settings with which all stages of the room take seconds
    "mesh.voxel_size=0.05",
    "semantics.iterations=20",
    "field.geometry_iterations=10",
    "field.frozen_iterations=10",
    "field.joint_iterations=5",
)
# Has the kernels of the field compiled in an environment where nothing is, and uses all of them. Prints how many it
# used, how many there are, and how many it compiled itself.
FIRST_USE = """
from panrecon.field.compilation import compile_kernels
from panrecon.field.cpu.compiled import COMPILING, KERNELS, ensure_compiled
import os

ensure_compiled()
os.environ[COMPILING] = "1"
compile_kernels()
used = [kernel for kernel in KERNELS if kernel.signatures]
print(len(used), len(KERNELS), sum(sum(kernel.stats.cache_misses.values()) for kernel in used))
"""


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that git tracks."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in tracked_files():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(REPOSITORY / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(checkout)]
    pip(*build)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def light(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `panrecon` of an environment with `panrecon.whl`."""
    return environment(wheel, "", tmp_path_factory.mktemp("light"))


@pytest.fixture(scope="module")
def full(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `panrecon` of an environment with `panrecon.whl[all]`."""
    return environment(wheel, "all", tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="module")
def first_use(full: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What `FIRST_USE` prints, in the environment in which nothing else ran before."""
    return succeed(full.with_name("python"), "-c", FIRST_USE, cwd=tmp_path_factory.mktemp("first"))


@pytest.fixture(scope="module")
def home(full: Path, first_use: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder, with a room that the installed package simulated and reconstructed."""
    folder = tmp_path_factory.mktemp("home")
    succeed(full, "simulate", "room", ROOM, "--frames", "12", "--width", "96", cwd=folder)
    settings = [word for setting in SMALL for word in ("--set", setting)]
    succeed(full, "run", "scannet/room", "--data", "raw/scannet", "--runs", "runs", *settings, cwd=folder)
    return folder


def tracked_files() -> list[str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return [name for name in listing.stdout.split("\0") if name and (REPOSITORY / name).is_file()]


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, env=os.environ | {"PIP_NO_INDEX": "1", "PYTHONPATH": ""})


def environment(wheel: Path, extra: str, folder: Path) -> Path:
    """A virtual environment of the wheel and links to all that this extra of it requires; its command `panrecon`."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip("--python", str(python), "install", "--quiet", "--no-deps", str(wheel))
    (site,) = folder.glob("lib/python*/site-packages")
    (installed,) = metadata.distributions(name="panrecon", path=[str(site)])
    for distribution in required(installed, {extra}):
        assert distribution.files is not None
        for name in {file.parts[0] for file in distribution.files} - {"..", "__pycache__"}:
            if not (site / name).exists():
                (site / name).symlink_to(Path(str(distribution.locate_file(name))))
    return folder / "bin" / "panrecon"


def required(root: metadata.Distribution, extras: set[str]) -> Iterator[metadata.Distribution]:
    """The distributions of this interpreter that `root` with these extras requires, and those that they require."""
    queue = [(root, extra) for extra in extras | {""}]
    queued = {(root.name, extra) for _, extra in queue}
    while queue:
        distribution, extra = queue.pop()
        for requirement in map(Requirement, distribution.requires or ()):
            if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
                continue
            same = canonicalize_name(requirement.name) == root.name
            needed = root if same else metadata.distribution(requirement.name)
            if not same:
                yield needed
            further = {(needed.name, name) for name in requirement.extras | {""}} - queued
            queue += [(needed, name) for _, name in further]
            queued |= further


def panrecon(command: Path, *arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PANRECON"))}
    return subprocess.run(
        [str(command), *arguments], cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=1800
    )


def succeed(command: Path, *arguments: str, cwd: Path) -> str:
    done = panrecon(command, *arguments, cwd=cwd)
    assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]} {done.stderr[-4000:]}"
    return done.stdout


def test_the_wheel_holds_the_tracked_files_of_the_package_and_nothing_else(wheel: Path) -> None:
    packaged = {
        inside + name.removeprefix(outside)
        for name in tracked_files()
        for outside, inside in PACKAGED.items()
        if name.startswith(outside)
    }
    with ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if ".dist-info/" not in name} == packaged
    examples = {"pipelines/Snakefile", "pipelines/configs/own.yaml", "categories/indoor.csv", "py.typed"}
    examples |= {"evaluation/report/page.html.jinja", "evaluation/report/quality.schema.json"}
    assert {f"panrecon/{name}" for name in examples} <= packaged


@pytest.mark.parametrize("installed", ["light", "full"])
def test_the_installed_package_is_not_the_checkout(
    installed: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    command: Path = request.getfixturevalue(installed)
    python = command.with_name("python")
    where = panrecon(python, "-c", "import panrecon; print(panrecon.__file__)", cwd=tmp_path).stdout.strip()
    assert Path(where).is_relative_to(command.parents[1])
    assert "doctor" in succeed(command, "--help", cwd=tmp_path)


def test_no_kernel_is_compiled_by_the_process_that_uses_it(full: Path, first_use: str) -> None:
    """A first run has the bits of every other: numba rounds otherwise in the process that compiled."""
    used, kernels, compiled = map(int, first_use.split())
    assert 5 <= used <= kernels
    assert compiled == 0
    assert len(list(full.parents[1].glob("lib/python*/site-packages/panrecon/**/panrecon-field-*.compiled"))) == 1


def test_a_room_is_reconstructed_and_scored(full: Path, home: Path) -> None:
    run = home / "runs" / "default" / "scannet" / "room"
    assert (run / "quality" / "quality.json").is_file()
    scores = succeed(
        *(full, "evaluate", "--prediction", str(run / "panoptic" / "panoptic.ply")),
        *("--ground-truth", ROOM, "--classes", f"{ROOM}/classes.csv", "--html", "report.html"),
        cwd=home,
    )
    assert "chair" in scores
    assert (home / "report.html").is_file()


def test_a_finished_run_has_nothing_left_to_do(full: Path, home: Path) -> None:
    settings = [word for setting in SMALL for word in ("--set", setting)]
    done = panrecon(full, "run", "scannet/room", "--data", "raw/scannet", "--runs", "runs", *settings, cwd=home)
    assert done.returncode == 0
    assert "Nothing to do" in done.stderr


def test_a_scan_is_diagnosed_and_a_table_shown(full: Path, home: Path) -> None:
    succeed(full, "doctor", ROOM, cwd=home)
    assert "chair" in succeed(full, "prompts", "indoor", cwd=home)


def test_the_light_installation_scores_two_meshes(light: Path, home: Path) -> None:
    prediction = "runs/default/scannet/room/panoptic/panoptic.ply"
    arguments = ["--prediction", prediction, "--ground-truth", ROOM, "--classes", f"{ROOM}/classes.csv"]
    assert "chair" in succeed(light, "evaluate", *arguments, "--json", "light.json", cwd=home)
    assert (home / "light.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "module"),
    [(["prompts", "indoor"], "tokenizers"), (["run", "scannet/room", "--data", "raw/scannet"], "torch")],
    ids=["prompts", "run"],
)
def test_the_light_installation_says_what_a_command_lacks(
    light: Path, home: Path, arguments: list[str], module: str
) -> None:
    done = panrecon(light, *arguments, cwd=home)
    assert done.returncode == 2
    assert f'This needs {module}, which is not installed; pip install "panrecon[all]".' in done.stderr
    assert "Traceback" not in done.stderr


def test_the_light_installation_says_what_python_and_a_stage_lack(light: Path, home: Path) -> None:
    python = light.with_name("python")
    sentence = 'This needs torch, which is not installed; pip install "panrecon[all]".'
    stage = ["--dataset", "scannet", "--raw", ROOM, "--run", "runs/default/scannet/room"]
    done = panrecon(python, "-m", "panrecon.pipelines.mesh", *stage, cwd=home)
    assert (done.returncode, done.stderr) == (2, f"error: {sentence}\n")
    attempt = "import panrecon as pr\ntry:\n    pr.reconstruct\nexcept ImportError as error:\n    print(error)"
    assert succeed(python, "-c", attempt, cwd=home) == f"{sentence}\n"

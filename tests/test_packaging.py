"""What setup.cfg declares is what the package imports."""

import ast
import configparser
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from panrecon.errors import EXTRA_OF_MODULE, InputError, missing_package_as, require_packages

REPOSITORY = Path(__file__).parent.parent
FOR_DEVELOPERS = {"test", "bench", "docs"}  # extras that the package itself does not use
NOT_DECLARED = {
    "tinycudann",
    "spconv",
    "liblzfse",
}  # have sentences of their own; not on PyPI, or for one device or app
DISTRIBUTION_OF_MODULE = {
    "cv2": "opencv-python-headless",
    "groundingdino": "groundingdino-py",
    "open3d": "open3d-cpu",
    "open_clip": "open_clip_torch",
    "PIL": "Pillow",
    "skimage": "scikit-image",
    "yaml": "pyyaml",
}
FINDS_MODULES = {
    "import_module",
    "import_optional",
    "find_spec",
    "require_packages",
}  # take names of modules
TORCH_IMPORTS = {"torch.utils.tensorboard": "tensorboard"}  # modules of torch that need a further package


def declared() -> dict[str, list[Requirement]]:
    """The requirements of setup.cfg by extra; those of every installation under the empty name."""
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    texts = {"": setup["options"]["install_requires"], **setup["options.extras_require"]}
    return {extra: [Requirement(line) for line in text.split("\n") if line.strip()] for extra, text in texts.items()}


def distributions(extra: str) -> set[str]:
    """The distributions that an extra brings, those of the extras it names included."""
    own = {canonicalize_name(requirement.name) for requirement in declared()[extra]} - {"panrecon"}
    named = {name for requirement in declared()[extra] for name in requirement.extras if requirement.name == "panrecon"}
    return own.union(*(distributions(name) for name in named))


def imported_modules(files: Sequence[Path]) -> set[str]:
    """The third-party packages that files import by statement, or name to a function that finds modules."""
    names = {name for file in files for node in ast.walk(ast.parse(file.read_text())) for name in _names(node)}
    roots = {name.split(".")[0] for name in names} | {TORCH_IMPORTS[name] for name in names & set(TORCH_IMPORTS)}
    return roots - set(sys.stdlib_module_names) - {"panrecon"}


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        yield node.module
    if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in FINDS_MODULES:
        yield from (a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))


def distribution(module: str) -> str:
    return canonicalize_name(DISTRIBUTION_OF_MODULE.get(module, module))


SOURCES = [*(REPOSITORY / "panrecon").rglob("*.py"), *(REPOSITORY / "pipelines").rglob("*.py")]
IMPORTED = imported_modules(SOURCES)


def test_everything_imported_is_declared_and_everything_declared_is_imported() -> None:
    runtime = set().union(*(distributions(extra) for extra in declared().keys() - FOR_DEVELOPERS))
    assert {distribution(module) for module in IMPORTED - NOT_DECLARED} == runtime


def test_psutil_is_of_benchmarks_alone() -> None:
    assert "psutil" not in IMPORTED
    assert [extra for extra, needs in declared().items() if "psutil" in {need.name for need in needs}] == ["bench"]


def test_every_optional_module_has_an_extra_that_brings_it() -> None:
    optional = {module for module in IMPORTED - NOT_DECLARED if distribution(module) not in distributions("")}
    assert set(EXTRA_OF_MODULE) == optional
    for module, extra in EXTRA_OF_MODULE.items():
        assert distribution(module) in distributions(extra), module


def test_all_brings_what_reconstruction_imports() -> None:
    others = ("clip", "exr", "lz4", "open3d", "original", "ros", "tensorboard")  # alternatives, each with its own extra
    elsewhere = set().union(*(distributions(extra) for extra in others))
    runtime = {distribution(module) for module in IMPORTED - NOT_DECLARED} - distributions("")
    assert runtime - elsewhere == distributions("all") - elsewhere


def test_the_environment_of_the_tests_is_of_the_declared_versions() -> None:
    for requirement in (requirement for extra in ("", "all") for requirement in declared()[extra]):
        if requirement.name != "panrecon":
            assert requirement.specifier.contains(importlib.metadata.version(requirement.name)), requirement


def test_a_missing_optional_package_is_named_with_its_extra() -> None:
    with (
        pytest.raises(InputError, match=r'^This needs torch, .*; pip install "panrecon\[all\]"\.$'),
        missing_package_as(InputError),
    ):
        raise ModuleNotFoundError("No module named 'torch'", name="torch")


@pytest.mark.parametrize("module", ["torch.no_such_part", "panrecon.no_such_module", None])
def test_other_failures_to_import_are_our_fault(module: str | None) -> None:
    with pytest.raises(ModuleNotFoundError), missing_package_as(InputError):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def test_packages_can_be_required_without_being_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    require_packages("skimage", "torch")
    monkeypatch.setattr("panrecon.errors.find_spec", lambda module: None if module == "skimage" else object())
    with pytest.raises(InputError, match=r"needs skimage, .*panrecon\[simulation\]"):
        require_packages("torch", "skimage")


COMMAND_WITHOUT = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

absent = sys.argv.pop(1).split()
sys.meta_path.insert(0, Absent())
sys.argv[0] = "panrecon"
from panrecon.cli import main
main()
"""


@pytest.mark.parametrize(
    ("arguments", "module"),
    [
        (["--help"], None),
        (["settings"], None),
        (["doctor", "--help"], None),
        (["prompts", "indoor"], "tokenizers"),
        (["run", "scannet/room"], "torch"),
        (["mesh", "--help"], "torch"),
        (["lidar", "train", "drive", "--out", "network"], "torch|safetensors"),
        (["simulate", "room", "room"], "skimage"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_light_installation_answers_in_a_sentence(tmp_path: Path, arguments: list[str], module: str | None) -> None:
    absent = " ".join({*EXTRA_OF_MODULE} - {"libusb_package"})
    command = [sys.executable, "-c", COMMAND_WITHOUT, absent, *arguments]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == (0 if module is None else 2), done.stderr
    if module is not None:
        assert "Traceback" not in done.stderr
        (line,) = done.stderr.strip().splitlines()
        assert any(name in line for name in module.split("|"))
        assert "panrecon[" in line

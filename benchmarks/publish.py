"""Publish results: copies them from `benchmarks/results/` to `docs/results/`, writes README.md's table from them,
and drops what `docs/earlier_results.md` says of the same benchmarks.

Pages of the documentation are made of `docs/results/` at every build, so no figure is typed.
"""

import re
import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from benchmarks.provenance import CHECKOUT
from benchmarks.results import PUBLISHED, RESULTS, Table, measured_by, read_result
from panrecon.errors import InputError
from panrecon.io.files import write_text
from panrecon.terminal import console, exit_on_input_error

README: Final = CHECKOUT / "README.md"
EARLIER: Final = CHECKOUT / "docs" / "earlier_results.md"
BLOCK: Final = re.compile(r"(<!-- result: (\w+) -->\n).*?(<!-- end of result -->)", re.DOTALL)


def main(
    names: Annotated[list[str] | None, typer.Argument(help="benchmarks; default: all in benchmarks/results/")] = None,
) -> None:
    """Publishes the results of these benchmarks, which have to be those of a commit."""
    with exit_on_input_error():
        for name in names or sorted(path.stem for path in RESULTS.glob("*.json")):
            publish(RESULTS / f"{name}.json", PUBLISHED)
            write_text(EARLIER, without_section(EARLIER.read_text(), name))
            console.print(f"{PUBLISHED.relative_to(CHECKOUT)}/{name}.json", highlight=False)
        write_text(README, with_results(README.read_text(), PUBLISHED))


def publish(path: Path, folder: Path) -> None:
    """Copies a result and its pictures into `folder`.

    Raises:
        InputError: there is no such result, or it is of files that are in no commit.
    """
    result = read_result(path)
    if result.provenance["has_uncommitted_changes"]:
        raise InputError(f"{path} was measured with changes that are in no commit; commit them and measure again.")
    folder.mkdir(parents=True, exist_ok=True)
    for file in (path, *(path.with_name(picture) for picture in result.pictures)):
        shutil.copy(file, folder / file.name)


def with_results(text: str, folder: Path) -> str:
    """The text, in which every block `<!-- result: name -->` holds the first table of that result.

    Raises:
        InputError: a block names a result that is not in `folder`.
    """

    def block(match: re.Match[str]) -> str:
        result = read_result(folder / f"{match[2]}.json")
        table = next(part for part in result.report if isinstance(part, Table))
        return f"{match[1]}\n{table}\n{measured_by(result)}\n\n{match[3]}"

    return BLOCK.sub(block, text)


def without_section(text: str, title: str) -> str:
    """Markdown without the section `## title`, which a newer measurement replaces."""
    return re.sub(rf"^## {title}\n.*?(?=^## |\Z)", "", text, flags=re.DOTALL | re.MULTILINE)


if __name__ == "__main__":
    typer.run(main)

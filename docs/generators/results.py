"""The pages of the results, from the JSON that benchmarks wrote: without it there is no page."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.provenance import CHECKOUT
from benchmarks.results import Result, Table, measured_by, published_results, text_of

SCRIPTS: Final = CHECKOUT / "benchmarks"
MAIN: Final = "typer.run(main)"  # in a script, not in what scripts share
INTRODUCTION: Final = """# Results

Every figure here was written by a script of `benchmarks/` and stands in a JSON file beside its page, with the commit
and the machine; pages are generated from these files. A script runs with `python -m benchmarks.<name>`. Unless a page
says otherwise detections and features are simulated from the truth, with faults as measured on Grounded-SAM (recall
about 0.7, precision about 0.75, SQ about 0.8 a view), never Grounded-SAM's or DINOv2's own. *Plain fusion* is the
baseline: the labels of all frames fused by a vote of voxels, ids matched greedily, on the same masks.

Scenes called `room` are built in. `house_kitchen`, `house_living`, `drake_living` (photo-textured rooms, ray-traced,
with exact truth), `hololens_office`, `kitchen7` (real scans with masks and features of small real networks and a truth
of our own) and `city_a` (a rendered street) are not part of the repository; a script says so where they are absent.
What was measured at earlier commits, and not again: [earlier results](../earlier_results.md).
"""


def result_pages() -> dict[str, str]:
    """The page of every published result and their list, in Markdown, by path."""
    results = published_results()
    pages = {f"results/{result.name}.md": result_page(result) for result in results}
    return {"results/index.md": _index(results, questions()), **pages}


def result_page(result: Result) -> str:
    """What was asked, what was measured, and what the figures belong to."""
    pictures = "\n\n".join(f"![{result.name}]({picture})" for picture in result.pictures)
    note = f"{measured_by(result)} All figures: [{result.name}.json]({result.name}.json)."
    return "\n\n".join([f"# {result.name}", result.question, text_of(result.report), pictures, note]) + "\n"


def questions() -> Mapping[str, str]:
    """The first paragraph of every benchmark's docstring, by its name."""
    sources = {path.stem: path.read_text() for path in sorted(SCRIPTS.glob("*.py")) if path.stem != "publish"}
    return {name: first_paragraph(_docstring(text)) for name, text in sources.items() if MAIN in text}


def first_paragraph(text: str) -> str:
    """The text up to its first empty line, on one line."""
    return " ".join(text.partition("\n\n")[0].split())


def _docstring(source: str) -> str:
    return ast.get_docstring(ast.parse(source)) or ""


def _index(results: list[Result], question_of_benchmark: Mapping[str, str]) -> str:
    rows = [
        [f"[{result.name}]({result.name}.md)", first_paragraph(result.question), result.provenance["date"]]
        for result in results
    ]
    measured = {result.name for result in results}
    missing = [[name, text] for name, text in question_of_benchmark.items() if name not in measured]
    parts = [INTRODUCTION]
    if rows:
        parts.append(str(Table(["benchmark", "what it measures", "measured on"], rows)))
    if missing:
        parts += ["## Not measured at this version", str(Table(["benchmark", "what it measures"], missing))]
    return "\n".join(parts)


def stray_pages(folder: Path) -> list[str]:
    """Names of files in the folder of results that are neither a result nor a picture of one."""
    named = {name for result in published_results(folder) for name in (f"{result.name}.json", *result.pictures)}
    return sorted(path.name for path in folder.glob("*") if path.name not in named)

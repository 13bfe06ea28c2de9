"""Results of the benchmarks: how a script reports them, and what of them is published.

A script calls `write_result`, which writes `benchmarks/results/<name>.json` (ignored by git). What shall stand in the
documentation is copied to `docs/results/` by `benchmarks.publish`; pages and the table of README.md are made of that.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final

from benchmarks.provenance import CHECKOUT, provenance
from panrecon.io.files import read_json, write_json

RESULTS: Final = CHECKOUT / "benchmarks" / "results"
PUBLISHED: Final = CHECKOUT / "docs" / "results"
DIGITS: Final = 6  # significant ones of a measurement in a file


@dataclass(frozen=True)
class Table:
    """Columns and rows of text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __str__(self) -> str:
        """The table in Markdown."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        escaped = [[cell.replace("|", "\\|") for cell in line] for line in lines]
        return "\n".join(f"| {' | '.join(line)} |" for line in escaped) + "\n"


Report = Sequence[Table | str]  # tables and sentences, as they follow each other


@dataclass(frozen=True)
class Result:
    """What a benchmark asked and found, and what the figures belong to."""

    name: str
    question: str  # first a line on what is measured, then how
    report: Report
    provenance: Mapping[str, Any]
    pictures: Sequence[str]  # names of files beside the JSON
    measurements: Mapping[str, Any]


def write_result(
    name: str, report: Report, measurements: Mapping[str, Any], folder: Path = RESULTS, pictures: Sequence[str] = ()
) -> None:
    """Writes `<folder>/<name>.json`: the report, all measurements behind it, and what they belong to.

    The question is the docstring of the script that runs.
    """
    content = {
        "question": cleandoc(sys.modules["__main__"].__doc__ or ""),
        "provenance": provenance(),
        "report": [vars(part) if isinstance(part, Table) else part for part in report],
        "pictures": list(pictures),
        "measurements": rounded(measurements),
    }
    write_json(folder / f"{name}.json", content)


def read_result(path: Path) -> Result:
    """The result in a file that `write_result` wrote."""
    content = read_json(path)
    report = [part if isinstance(part, str) else Table(part["head"], part["rows"]) for part in content["report"]]
    return Result(path.stem, **{**content, "report": report})


def published_results(folder: Path = PUBLISHED) -> list[Result]:
    """All results that the documentation shows, by name."""
    return [read_result(path) for path in sorted(folder.glob("*.json"))]


def measured_by(result: Result) -> str:
    """A sentence: what a result's figures belong to."""
    facts = result.provenance
    versions = ", ".join(f"{package} {number}" for package, number in facts["versions"].items())
    return (
        f"Measured by `{facts['command']}` at commit `{facts['commit'][:10]}` on {facts['date']}; {facts['machine']}; "
        f"{versions}."
    )


def text_of(report: Report) -> str:
    """The report as Markdown."""
    return "\n".join(str(part) if isinstance(part, Table) else f"{part}\n" for part in report)


def rounded(value: Any) -> Any:
    """The value with all its numbers rounded to `DIGITS` significant digits."""
    match value:
        case float():
            return float(f"{value:.{DIGITS}g}")
        case Mapping():
            return {key: rounded(part) for key, part in value.items()}
        case list() | tuple():
            return [rounded(part) for part in value]
        case _:
            return value

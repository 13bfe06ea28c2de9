"""Class tables: CSV `id,name,thing,evaluated,synonyms,raw_ids,role` (lists joined by `|`; id 0 is void, not listed)."""

import csv
import io
from collections import Counter
from importlib import resources
from pathlib import Path
from typing import Final

from panrecon.errors import InputError, reason
from panrecon.io.files import write_text
from panrecon.roles import Role
from panrecon.structures import Category, CategoryTable

TABLES = Path(str(resources.files("panrecon.categories")))
MAX_ID: Final = 65535  # what a 16-bit label image holds
COLUMNS = ("id", "name", "thing", "evaluated", "synonyms", "raw_ids", "role")


def find_table(name_or_path: str | Path) -> Path:
    """The file of a table that comes with the project, by its bare name (`scannet200`), or the path as it is.

    Raises:
        InputError: it is neither a file nor the name of a table.
    """
    path = Path(name_or_path)
    named = TABLES / f"{path}.csv"
    if path.is_file() or (path.suffix == ".csv" and not path.is_dir()):
        return path
    if len(path.parts) == 1 and named.is_file():
        return named
    names = ", ".join(sorted(table.stem for table in TABLES.glob("*.csv")))
    where = f"The class table {path} is a folder" if path.is_dir() else f"There is no class table {path}"
    raise InputError(f"{where}; name a CSV file, or one of {names}.")


def read_categories(path: Path) -> CategoryTable:
    """The table of a CSV file; `evaluated` is 1, the others are empty where their column is missing.

    Raises:
        InputError: a column is missing, a number or role is none, or an id or name stands twice.
    """
    if not path.is_file():
        raise InputError(f"The class table {path} does not exist; name a CSV file, or a table of data/categories.")
    reader = csv.DictReader(io.StringIO(_text(path), newline=""))
    missing = {"id", "name", "thing"} - set(reader.fieldnames or ())
    if missing:
        raise InputError(f"The class table {path} has no column {', '.join(sorted(missing))}; add it.")
    unknown = set(reader.fieldnames or ()) - set(COLUMNS)
    if unknown:
        raise InputError(
            f"The class table {path} has the columns {', '.join(map(repr, sorted(unknown)))}, "
            f"which mean nothing here; there are {', '.join(COLUMNS)}."
        )
    try:
        table = CategoryTable(tuple(_category(path, reader.line_num, row) for row in reader))
    except csv.Error as error:
        raise InputError(f"The class table {path} is no CSV: {reason(error)}; close its quotes.") from error
    require_distinct(f"The class table {path}", table)
    return table


def require_distinct(what: str, table: CategoryTable) -> None:
    """Checks that label files can hold the classes of a table, which a sentence calls `what`.

    Raises:
        InputError: there is no class, two have one id or name, or an id does not fit into 16 bits.
    """
    if not len(table):
        raise InputError(f"{what} lists no class; add a line for each.")
    columns: dict[str, list[int | str]] = {"id": [c.id for c in table], "name": [c.name for c in table]}
    for column, values in columns.items():
        twice = next((value for value, count in Counter(values).items() if count > 1), None)
        if twice is not None:
            raise InputError(f"{what} has the {column} {twice!r} twice; remove one.")
    for category in table:
        if not 1 <= category.id <= MAX_ID:
            raise InputError(f"{what} gives {category.name} the id {category.id}; give one from 1 to {MAX_ID}.")


def write_categories(path: Path, table: CategoryTable) -> None:
    """Writes a class table; the column `role` only if a class states one."""
    buffer = io.StringIO()
    has_roles = any(category.stated_role for category in table)
    columns = COLUMNS if has_roles else tuple(column for column in COLUMNS if column != "role")
    writer = csv.DictWriter(buffer, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for category in table:
        writer.writerow(
            {
                "id": category.id,
                "name": category.name,
                "thing": int(category.thing),
                "evaluated": int(category.evaluated),
                "synonyms": "|".join(category.synonyms),
                "raw_ids": "|".join(map(str, category.raw_ids)),
                "role": category.stated_role,
            }
        )
    write_text(path, buffer.getvalue())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # spreadsheets begin UTF-8 with a mark
    except UnicodeDecodeError as error:
        raise InputError(f"The class table {path} is not UTF-8 text: {error}; save it as CSV.") from error


def _category(path: Path, line: int, row: dict[str, str | None]) -> Category:
    def words(column: str) -> tuple[str, ...]:
        return tuple(word.strip() for word in (row.get(column) or "").split("|") if word.strip())

    try:
        category = Category(
            id=int(row["id"] or ""),
            name=(row["name"] or "").strip(),
            thing=bool(int(row["thing"] or "")),
            evaluated=bool(int(row.get("evaluated") or 1)),
            synonyms=words("synonyms"),
            raw_ids=tuple(int(word) for word in words("raw_ids")),
            stated_role=_stated_role(path, line, (row.get("role") or "").strip()),
        )
    except ValueError as error:
        raise InputError(
            f"Line {line} of the class table {path} holds a word where a number belongs: {reason(error)}; mend it."
        ) from error
    if not 1 <= category.id <= MAX_ID or not category.name:
        raise InputError(f"Line {line} of the class table {path} needs an id from 1 to {MAX_ID} and a name.")
    if not all(0 <= raw_id <= MAX_ID for raw_id in category.raw_ids):
        raise InputError(f"Line {line} of the class table {path} has raw ids outside 0 to {MAX_ID}; remove them.")
    return category


def _stated_role(path: Path, line: int, word: str) -> Role | None:
    """The role of a cell, None if it is empty."""
    if word and word not in tuple(Role):
        raise InputError(
            f"Line {line} of the class table {path} has the role {word!r}; give {', '.join(Role)}, or nothing "
            "for that of its name."
        )
    return Role(word) if word else None

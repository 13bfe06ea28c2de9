"""The page of the settings, from `panrecon/config.py`."""

import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from panrecon.config import Settings
from panrecon.workflow.stages import STAGES

# A description ends with the unit of its setting after a comma, or before a semicolon that tells the default.
UNITS: Final = ("m", "pixels", "voxels", "faces", "vertices")
INTRODUCTION: Final = """# Settings

Every setting of every stage, its default and meaning; `panrecon settings` prints the same. A stage's settings are the
section of its name.

    make scannet/<scene> SET="mesh.voxel_size=0.015 graph.min_frames=3"
    panrecon run scannet/<scene> --set mesh.voxel_size=0.015 --settings mine.yaml

and from Python `pr.read_scan(folder, overrides=["mesh.voxel_size=0.015"])`. Defaults come first, then the configuration
of the data set (`pipelines/configs/<dataset>.yaml`), the scene's own `settings.yaml` (which `panrecon doctor --fix`
writes), files given with `--settings`, and last what is given with `--set`. A YAML file has a section a stage:

    mesh:
      voxel_size: 0.015
    graph:
      min_frames: 3

An unknown name, or a value that does not fit, is refused in one sentence with exit code 2. Relative paths count from
the folder you stand in. What is `none` is not set; its description says what then happens.
"""
SIGNS: Final = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
KINDS: Final = {"boolean": "`true` or `false`", "integer": "whole number", "string": "text", "path": "path"}


def settings_page() -> str:
    """Every setting with its default, values, unit and meaning, in Markdown.

    Raises:
        ValueError: a setting has no description.
    """
    sections = []
    for section, field in Settings.model_fields.items():
        settings = field.default.model_json_schema()["properties"]
        rows = [_row(section, name, schema) for name, schema in settings.items()]
        head = ["| setting | default | values | unit | meaning |", "|---|---|---|---|---|"]
        sections.append("\n".join([f"## {section}\n", f"*{STAGES[section].summary}*\n", *head, *rows]))
    return "\n\n".join([INTRODUCTION, *sections]) + "\n"


def split_unit(description: str) -> tuple[str, str]:
    """A description without its unit, and the unit; empty where there is none."""
    match = re.search(rf", ({'|'.join(UNITS)})(?=$|;)", description)
    return (description.replace(match[0], "", 1), match[1]) if match else (description, "")


def _row(section: str, name: str, schema: Mapping[str, Any]) -> str:
    if "description" not in schema:
        raise ValueError(f"The setting {section}.{name} has no description; give its Field one in panrecon/config.py.")
    meaning, unit = split_unit(schema["description"])
    default = "none" if schema["default"] is None else f"`{json.dumps(schema['default']).replace(chr(34), '')}`"
    cells = [f"`{name}`", default, ", ".join(_values(schema)), unit, escape(meaning)]
    return f"| {' | '.join(cells)} |"


def _values(schema: Mapping[str, Any]) -> Iterator[str]:
    """What a JSON schema lets through, in words."""
    if "anyOf" in schema:
        for member in schema["anyOf"]:
            yield from _values(member)
    elif "enum" in schema:
        yield from (f"`{value}`" for value in schema["enum"])
    elif "const" in schema:
        yield f"`{schema['const']}`"
    elif schema["type"] == "array":
        members = schema.get("prefixItems", [schema.get("items")])
        kinds = list(dict.fromkeys(kind for member in members for kind in _values(member)))
        yield f"{len(members)} numbers" if "prefixItems" in schema else f"list of {' or '.join(kinds)}"
    elif schema["type"] != "null":
        bounds = [f"{sign} {schema[key]:g}" for key, sign in SIGNS.items() if key in schema]
        kind = schema.get("format", schema["type"])
        yield f"{KINDS.get(kind, kind)} {' and '.join(bounds)}".strip()

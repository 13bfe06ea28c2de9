"""What mkdocs calls: pages that are generated at every build, so that none can be out of date."""

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docs.generators.commands import commands_page
from docs.generators.results import result_pages
from docs.generators.settings import settings_page


def on_config(config: MkDocsConfig, **_: Any) -> MkDocsConfig:
    """Lists the pages of the results in the navigation, after their index."""
    (results,) = (entry["Results"] for entry in config.nav or [] if isinstance(entry, dict) and "Results" in entry)
    results[:] = [*result_pages(), *results]
    return config


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Adds the generated pages."""
    for path, text in {"settings.md": settings_page(), "commands.md": commands_page(), **result_pages()}.items():
        files.append(File.generated(config, path, content=text))
    return files

"""What mkdocs calls: pages that are generated at every build, so that none can be out of date."""

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from docs.generators.commands import commands_page
from docs.generators.settings import settings_page


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Adds the generated pages."""
    for path, text in {"settings.md": settings_page(), "commands.md": commands_page()}.items():
        files.append(File.generated(config, path, content=text))
    return files

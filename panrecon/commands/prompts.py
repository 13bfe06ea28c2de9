"""`panrecon prompts`: what a class table asks GroundingDINO for, and the role of every class."""

from typing import Annotated

import typer

from panrecon.terminal import exit_on_input_error


def prompts(
    table: Annotated[str, typer.Argument(help="class table: a CSV, or one of data/categories by name")],
) -> None:
    """Prints the prompt of a class table, or the prompts it is split into where it is longer than 256 tokens, and what
    gravity and planes say of every class: its role, as the table states it or by default from its words.

    Reads the table, writes nothing. Exit code 2: the table is wrong, or a name in it cannot be part of a prompt.
    """
    from panrecon.io.categories import find_table, read_categories
    from panrecon.masks.prompt import MAX_TOKENS, build_prompts, words_of

    with exit_on_input_error():
        classes = read_categories(find_table(table))
        passes = build_prompts(words_of(classes))
    for index, prompt in enumerate(passes):
        typer.echo(f"pass {index + 1} of {len(passes)}: {len(prompt.words)} words, {len(prompt.tokens)} tokens")
        typer.echo(f"  {prompt.text}")
    typer.echo(f"{len(classes)} classes, {sum(len(prompt.words) for prompt in passes)} words")
    widest = max(len(category.name) for category in classes)
    typer.echo(f"\n{'class':{widest}}  role")
    for category in classes:
        by_default = "" if category.stated_role else "  (by default)"
        typer.echo(f"{category.name:{widest}}  {category.role}{by_default}")
    if len(passes) > 1:
        typer.echo(
            f"warning: GroundingDINO reads {MAX_TOKENS} tokens at most, so every frame takes {len(passes)} passes, "
            f"{len(passes)} times as long; words of one pass do not compete with those of another. "
            "Fewer synonyms make it shorter.",
            err=True,
        )

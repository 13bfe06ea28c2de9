"""`panrecon prompts`: the text prompts that GroundingDINO gets for a class table."""

from typing import Annotated

import typer

from panrecon.terminal import exit_on_input_error


def prompts(
    table: Annotated[str, typer.Argument(help="class table: a CSV, or one of data/categories by name")],
) -> None:
    """Prints the prompt of a class table, or the prompts it is split into where it is longer than 256 tokens.

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
    if len(passes) > 1:
        typer.echo(
            f"warning: GroundingDINO reads {MAX_TOKENS} tokens at most, so every frame takes {len(passes)} passes, "
            f"{len(passes)} times as long; words of one pass do not compete with those of another. "
            "Fewer synonyms make it shorter.",
            err=True,
        )

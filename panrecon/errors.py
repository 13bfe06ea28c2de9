"""The exceptions for what a user can cause and mend."""


class InputError(Exception):
    """The user's input is wrong. The message is one sentence: what, where, the value, what to do. Exit code 2."""


class OutOfMemoryError(InputError):
    """Not even the smallest piece of work fits into memory; what was done before it is kept."""


def reason(error: Exception) -> str:
    """What a library says was wrong, to stand within a sentence: on one line, without its own full stop."""
    return " ".join(str(error).split()).rstrip(".")

"""Numbers of a training for TensorBoard, as it goes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from panrecon.errors import InputError, install_command

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


def import_writer() -> type["SummaryWriter"]:
    """What writes event files.

    Raises:
        InputError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise InputError(
            f"TensorBoard is not installed; {install_command('tensorboard')}, or leave out --tensorboard."
        ) from error
    return SummaryWriter


class EventLog:
    """The event files of a folder; `add` takes numbers by name, a slash groups them."""

    def __init__(self, writer: "SummaryWriter") -> None:
        self._writer = writer

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Logs the values of one step of training."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def flush(self) -> None:
        """What was added is in the file from here on, whatever becomes of the process."""
        self._writer.flush()


@contextmanager
def event_log(folder: Path, first: int) -> Iterator[EventLog]:
    """A log of the steps from `first` on; TensorBoard forgets those that an earlier try has left in the folder.

    Raises:
        InputError: TensorBoard is not installed.
    """
    with import_writer()(str(folder), purge_step=first) as writer:
        yield EventLog(writer)

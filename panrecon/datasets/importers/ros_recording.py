"""Recordings of ROS as rosbags reads them: topics, the times of their messages, and messages one by one."""

import importlib
import sqlite3
import struct
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from jaxtyping import Float

from panrecon.errors import InputError, import_optional, reason

DAMAGED: Final = (  # what reading a damaged recording raises beside rosbags' own errors
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    EOFError,
    MemoryError,
    OverflowError,
    RuntimeError,
    struct.error,
    sqlite3.Error,
    yaml.YAMLError,
)


@dataclass(frozen=True)
class Topic:
    """A topic: its name and what a reader needs to find its messages."""

    name: str
    connections: Sequence[Any]

    @property
    def base(self) -> str:
        """The name without the transport."""
        return self.name.removesuffix("/compressed").removesuffix("/compressedDepth")


@dataclass(frozen=True)
class Stamps:
    """The messages of a topic: the times of their headers (s), ascending, and of their recording (ns)."""

    header: Float[np.ndarray, " n"]
    recorded: Sequence[int]
    frame: str  # of coordinates


class Recording:
    """An open recording; closed when nothing refers to it, for images are read when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Opens it.

        Raises:
            InputError: it cannot be opened, or rosbags is not installed.
        """
        self.path = path
        rosbags = import_optional("rosbags.highlevel", need="To read recordings of ROS")
        types = importlib.import_module("rosbags.typesys")
        self._errors = (*DAMAGED, rosbags.AnyReaderError, *_errors_of_rosbags())
        try:
            self._reader = rosbags.AnyReader([path], default_typestore=types.get_typestore(types.Stores.ROS2_HUMBLE))
            self._reader.open()
            weakref.finalize(self, self._reader.close)
        except self._errors as error:
            raise InputError(f"{path} cannot be opened as a ROS recording: {reason(error)}; copy it again.") from error

    def topics(self, kinds: Sequence[str]) -> list[Topic]:
        """The topics of these types that have messages, by name."""
        connections: dict[str, list[Any]] = {}
        for connection in self._reader.connections:
            if connection.msgtype in kinds and connection.msgcount:
                connections.setdefault(connection.topic, []).append(connection)
        return [Topic(name, connections[name]) for name in sorted(connections)]

    def messages(self, topic: Topic, start: int | None = None) -> Iterator[tuple[int, Any]]:
        """The messages of a topic with the times of their recording (ns), all or those of one time.

        Raises:
            InputError: one of them is damaged.
        """
        stop = None if start is None else start + 1
        try:
            for connection, time, raw in self._reader.messages(topic.connections, start=start, stop=stop):
                yield time, self._reader.deserialize(raw, connection.msgtype)
        except self._errors as error:
            raise InputError(f"{topic.name} of {self.path} is damaged: {reason(error)}; copy it again.") from error

    def first(self, topic: Topic) -> Any:
        """The first message of a topic."""
        return next(self.messages(topic))[1]

    def stamps(self, topic: Topic) -> Stamps:
        """The times of all messages of a topic."""
        times = []
        frame = ""
        for recorded, message in self.messages(topic):
            times.append((seconds(message.header.stamp), recorded))
            frame = frame or message.header.frame_id
        times.sort()
        return Stamps(np.array([time for time, _ in times]), [recorded for _, recorded in times], frame)

    def message_at(self, topic: Topic, header: float, recorded: int) -> Any:
        """The message of a topic with these times.

        Raises:
            InputError: it is damaged.
        """
        for _, message in self.messages(topic, recorded):
            if seconds(message.header.stamp) == header:
                return message
        raise InputError(f"{topic.name} of {self.path} changed while it was read; import it again.")


def seconds(stamp: Any) -> float:
    """The time of a header."""
    return float(stamp.sec) + 1e-9 * float(stamp.nanosec)


def _errors_of_rosbags() -> tuple[type[Exception], ...]:
    """What rosbags and its reader of SQLite raise."""
    names = {
        "rosbags.rosbag1": "ReaderError",
        "rosbags.rosbag2": "ReaderError",
        "rosbags.serde": "SerdeError",
        "apsw": "Error",
    }
    return tuple(getattr(importlib.import_module(module), name) for module, name in names.items())

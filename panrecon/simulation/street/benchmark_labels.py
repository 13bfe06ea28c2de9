"""The street's classes and objects in the ids of the benchmarks."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Int

from panrecon.simulation.street.street import BENCHMARK_IDS, Street
from panrecon.structures import VOID, CategoryTable, Labels

Benchmark = Literal["kitti360", "semantic_kitti", "nuscenes"]


@dataclass(frozen=True)
class BenchmarkLabels:
    """A benchmark's raw ids of the street's classes, and numbers of its objects; the last entry of each is for `VOID`.

    SemanticKITTI has ids of their own for what moves. Objects are numbered from 1 within their class; 0 = no number.
    """

    static_id_of_category: Int[np.ndarray, " C"]
    dynamic_id_of_category: Int[np.ndarray, " C"]
    is_dynamic_instance: Bool[np.ndarray, " I"]
    number_of_instance: Int[np.ndarray, " I"]

    def raw_ids(self, labels: Labels) -> tuple[Int[np.ndarray, "*points"], Int[np.ndarray, "*points"]]:
        """Raw class ids and numbers within the class of labels of the street."""
        semantic = np.where(
            self.is_dynamic_instance[labels.instance],
            self.dynamic_id_of_category[labels.category],
            self.static_id_of_category[labels.category],
        )
        return semantic, self.number_of_instance[labels.instance]


def benchmark_labels(street: Street, benchmark: Benchmark, table: CategoryTable) -> BenchmarkLabels:
    """The ids that a benchmark, whose class table is `table`, has for this street."""
    static_ids = _raw_ids(benchmark)
    dynamic_ids = _raw_ids("semantic_kitti_moving") if benchmark == "semantic_kitti" else static_ids
    semantic = static_ids[street.category_of_instance]
    is_numbered = np.array([_is_numbered(table, int(raw_id)) for raw_id in semantic])
    number_in_class = np.array([np.count_nonzero(semantic[: i + 1] == raw_id) for i, raw_id in enumerate(semantic)])
    number_of_instance = np.append(np.where(is_numbered, number_in_class, 0), 0)
    return BenchmarkLabels(static_ids, dynamic_ids, np.append(street.is_dynamic_instance, False), number_of_instance)


def benchmark_names(benchmark: Benchmark, table: CategoryTable) -> list[str]:
    """A benchmark's name of each of the street's classes; the street's own where `table` does not list the class."""
    indices = [table.index_of_raw_id.get(getattr(ids, benchmark), VOID) for ids in BENCHMARK_IDS.values()]
    return [name if index == VOID else table[index].name for index, name in zip(indices, BENCHMARK_IDS, strict=True)]


def _raw_ids(benchmark: str) -> Int[np.ndarray, " C"]:
    return np.array([getattr(ids, benchmark) for ids in BENCHMARK_IDS.values()] + [0])


def _is_numbered(table: CategoryTable, raw_id: int) -> bool:
    """Objects of classes that the table does not know are numbered too: some are things."""
    index = table.index_of_raw_id.get(raw_id, VOID)
    return index == VOID or table[index].thing

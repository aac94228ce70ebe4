"""Where the shards of a day are computed: in threads of this process, or on the executors of a Spark session.

Both call the same function with the same tasks. A task says which meters of which day; the function reads what it needs
from the lake, writes its part of the partition there and returns something small. So an engine moves tasks and never data.
"""

from __future__ import annotations

import pickle
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

import pyarrow as pa

from grid_assets.foundation.site_sections import MeteringSection

Task = TypeVar("Task")
Result = TypeVar("Result")


class EngineError(RuntimeError):
    """The engine that the site file names cannot be used here."""


def run_shards(chosen: MeteringSection, work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
    """The results of ``work`` for all tasks, in their order. ``work`` is a function of a module, for executors import it.

    Raises EngineError where the engine is missing, and whatever ``work`` raises.
    """
    if chosen.engine == "spark":
        return _on_spark(chosen.spark_master, work, tasks)
    if chosen.threads == 1 or len(tasks) < 2:
        return [work(task) for task in tasks]
    with ThreadPoolExecutor(chosen.threads, thread_name_prefix="shard") as pool:
        return list(pool.map(work, tasks))


def ahead(work: Callable[[Task], Result], tasks: Sequence[Task], threads: int) -> Iterator[Result]:
    """The results of ``work`` for all tasks, in their order. While one is used the next are made; no more than ``threads`` are held."""
    if threads == 1 or len(tasks) < 2:
        yield from map(work, tasks)
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="ahead") as pool:
        under_way = deque(pool.submit(work, task) for task in tasks[:threads])
        waiting = iter(tasks[threads:])
        while under_way:
            yield under_way.popleft().result()
            under_way.extend(pool.submit(work, task) for task in islice(waiting, 1))


def _on_spark(master: str, work: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
    def rows_of(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number, task in zip(batch["number"].to_pylist(), batch["task"].to_pylist(), strict=True):
                made = pickle.dumps(work(pickle.loads(task)))  # noqa: S301 - the driver of this very session wrote it
                yield pa.RecordBatch.from_pydict({"number": pa.array([number], pa.int64()), "result": pa.array([made], pa.binary())})

    session = _spark_session(master)
    frame = session.createDataFrame([(n, pickle.dumps(task)) for n, task in enumerate(tasks)], "number long, task binary")
    made = frame.mapInArrow(rows_of, "number long, result binary").collect()
    return [pickle.loads(bytes(row["result"])) for row in sorted(made, key=lambda row: row["number"])]  # noqa: S301


def _spark_session(master: str):
    """The running session, or a new one. A local one listens on loopback only and shows no page."""
    try:
        from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise EngineError(
            "[metering] engine = 'spark' needs PySpark, which is not installed: `uv sync --extra spark`, and Java 17 on every machine"
        ) from error
    builder = SparkSession.builder.master(master).appName("grid_assets metering")
    settings = {"spark.sql.execution.arrow.pyspark.enabled": "true", "spark.sql.session.timeZone": "UTC"}
    if master.startswith("local"):
        settings |= {
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            "spark.driver.host": "127.0.0.1",
            "spark.driver.bindAddress": "127.0.0.1",
        }
    for key, value in settings.items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:  # Py4J raises several kinds, none of them its own
        raise EngineError(f"no Spark session on {master!r}: {error}; is Java 17 installed, and the master right?") from error
    if master.startswith("local"):
        session.sparkContext.pythonExec = sys.executable  # a cluster's machines have their own, named by PYSPARK_PYTHON
    return session

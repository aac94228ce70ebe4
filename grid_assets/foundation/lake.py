"""The lake: Parquet files behind one small pointer file a partition.

    <lake>/<area>/<table>/<partition>/<content hash>-<shard>.parquet
    <lake>/<area>/<table>/<partition>/pointer.json        written last; names the files that count

A reader follows the pointer, so it sees the old partition or the new one and never half of either. Writing the same
rows again gives the same content hash and changes nothing. The files of the last-but-one generation are removed when a
new one is pointed at, so a reader that holds the previous pointer still finds its files. What a killed run left behind,
parts that nothing points at and half files, is removed by a later write of the partition when it is a day old.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from filelock import FileLock

from grid_assets.foundation import parquet_files
from grid_assets.foundation.atomic_files import put_atomically
from grid_assets.foundation.content_hashes import hash_of_sums, row_sums
from grid_assets.foundation.tables import Table

POINTER = "pointer.json"
UNPARTITIONED = "all"
LEFT_BEHIND = timedelta(days=1)
"""How much older than a partition's newest file one that no pointer names is, before it counts as left behind by a killed run."""
PARTITION_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@+:-]{0,180}$")


class LakeError(RuntimeError):
    """The lake cannot do what was asked: a bad partition name, a damaged pointer, a file that is gone."""


@dataclass(frozen=True)
class Written:
    """What a write left behind."""

    table: str
    partition: str
    rows: int
    content_hash: str
    files: tuple[str, ...]
    changed: bool
    """False when the partition already held these very rows."""


@dataclass(frozen=True)
class Shard:
    """A part of a partition that was written and does not count yet."""

    number: int
    name: str
    rows: int
    row_sums: tuple[int, int]
    """They add up to the content hash of the partition."""
    first_key: tuple
    last_key: tuple


class Lake:
    """Reads and writes tables under a root: a local folder, or a URL that pyarrow's file systems know (``s3://...``)."""

    def __init__(self, root: str | Path):
        root = str(root)
        if "://" in root:
            self._fs, base = pafs.FileSystem.from_uri(root)
        else:
            self._fs, base = pafs.LocalFileSystem(), str(Path(root).absolute())
        self.root = base.rstrip("/")
        self._local = isinstance(self._fs, pafs.LocalFileSystem)

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, table: Table, frame: pd.DataFrame | pa.Table, partition: str | date | None = None) -> Written:
        """Replaces one partition by the rows of ``frame``, after they conform to the declaration.

        Raises TableError when they do not; the partition then keeps what it had.
        """
        with self._alone_in(self._folder(table, partition)):
            return self._point_at(table, partition, [self.put_shard(table, frame, partition)])

    def put_shard(self, table: Table, frame: pd.DataFrame | pa.Table, partition: str | date | None = None, number: int = 0) -> Shard:
        """Writes a part of a partition that nothing points at yet: any number of processes may write its parts at once.
        ``point_at`` makes them count. Raises TableError when the rows do not conform.
        """
        rows = table.stored_form(frame)
        sums, folder = row_sums(rows), self._folder(table, partition)
        name = f"{hash_of_sums(rows.schema, rows.num_rows, sums)}-{number}.parquet"
        if not self._renewed(f"{folder}/{name}"):
            self._put(f"{folder}/{name}", parquet_files.encoded(rows, table.schema))
        first, last = (tuple(rows[key][at].as_py() for key in table.keys) if rows.num_rows else () for at in (0, -1))
        return Shard(number, name, rows.num_rows, sums, first, last)

    def point_at(self, table: Table, partition: str | date | None, shards: Sequence[Shard]) -> Written:
        """Replaces a partition by the parts that ``put_shard`` wrote, given in the order of their keys.

        Raises LakeError where their keys overlap: the partition would not be sorted. It then keeps what it had.
        """
        with self._alone_in(self._folder(table, partition)):
            return self._point_at(table, partition, shards)

    def _point_at(self, table: Table, partition: str | date | None, shards: Sequence[Shard]) -> Written:
        folder, name = self._folder(table, partition), _partition_name(partition)
        filled = [one for one in shards if one.rows] or list(shards[:1])
        for one, following in pairwise(filled):
            if one.last_key >= following.first_key:
                raise LakeError(f"{table}/{name}: shard {following.number} begins at {following.first_key}, before the end of "
                                f"shard {one.number}, {one.last_key}; shards are ranges of keys")  # fmt: skip
        files, rows, before = [one.name for one in filled], sum(one.rows for one in filled), self._pointer(folder)
        sums = tuple(sum(one.row_sums[lane] for one in filled) % 2**64 for lane in (0, 1))
        digest = hash_of_sums(table.schema, rows, sums)
        paths = tuple(f"{folder}/{one}" for one in files)
        if before and before["files"] == files:
            return Written(str(table), name, rows, digest, paths, False)
        lost = [path for path in paths if not self._exists(path)]
        if lost:
            raise LakeError(f"{table}/{name}: {lost[0]} is gone, another run wrote this partition meanwhile; materialise it again")
        previous = before["files"] if before else []
        pointer = {"table": str(table), "partition": name, "rows": rows, "content_hash": digest, "files": files, "previous_files": previous}
        self._put(f"{folder}/{POINTER}", json.dumps(pointer, indent=1).encode())
        self._remove(folder, set(before["previous_files"] if before else ()) - set(previous) - set(files))
        self._sweep(folder, {*files, *previous})
        return Written(str(table), name, rows, digest, paths, True)

    # -- reading ------------------------------------------------------------------------------------------------

    def read(
        self,
        table: Table,
        partitions: str | date | Iterable[str | date] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The rows of the named partitions (all of them for None) that exist, as a frame; empty when there are none."""
        return self.read_arrow(table, partitions, columns).to_pandas()

    def read_arrow(
        self,
        table: Table,
        partitions: str | date | Iterable[str | date] | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        parts = [self._read_file(path, columns) for path in self.files(table, partitions)]
        if not parts:
            empty = table.empty()
            return empty.select(list(columns)) if columns else empty
        return pa.concat_tables(parts, promote_options="default") if len(parts) > 1 else parts[0]

    def read_between(
        self,
        table: Table,
        partitions: str | date | Iterable[str | date] | None,
        lower: str | None,
        upper: str | None,
        columns: Sequence[str] | None = None,
        coded: Sequence[str] = (),
    ) -> pa.Table:
        """The rows whose first key lies in [lower, upper); None: no bound. Row groups of other keys are not read.

        ``coded``: text columns that come dictionary-coded, which is cheaper where values repeat.
        """
        bounds, parts = (table.keys[0], lower, upper), []
        for path in self.files(table, partitions):
            with _pointed_at(path):
                parts.append(parquet_files.read_range(self._fs, path, bounds, columns, coded))
        if not parts:
            return self.read_arrow(table, (), columns)
        return pa.concat_tables(parts, promote_options="default").unify_dictionaries()

    def read_shards(
        self,
        table: Table,
        partitions: str | date | Iterable[str | date] | None = None,
        columns: Sequence[str] | None = None,
        coded: Sequence[str] = (),
    ) -> Iterator[pa.Table]:
        """The rows of these partitions file by file, so that one file at a time is in memory. ``coded``: as in read_between."""
        for path in self.files(table, partitions):
            yield self._read_file(path, columns, coded=coded)

    def faults(self, table: Table, partition: str | date | None = None) -> list[str]:
        """What of a stored partition is not as the table is declared; file by file, so that a large one needs little memory."""
        texts = [one.name for one in table.fields if pa.types.is_string(one.type)]
        found: list[str] = []
        last: tuple | None = None
        for path in self.files(table, partition):
            wrong = table.faults_of_schema(pq.read_schema(path, filesystem=self._fs))
            rows = self._read_file(path, None, coded=texts)
            found += wrong or table.faults_of_rows(rows)
            if rows.num_rows and not wrong:
                first, ends = (tuple(rows[key][at].as_py() for key in table.keys) for at in (0, -1))
                if last is not None and first <= last:
                    found.append(f"{path.rsplit('/', 1)[-1]} begins at {first}, not after the end of the file before it, {last}")
                last = ends
        return list(dict.fromkeys(found))

    def files(self, table: Table, partitions: str | date | Iterable[str | date] | None = None) -> list[str]:
        """The Parquet files that count for these partitions, through their pointers."""
        found = []
        for partition in self._names(table, partitions):
            folder = self._folder(table, partition)
            pointer = self._pointer(folder)
            if pointer:
                found += [f"{folder}/{name}" for name in pointer["files"]]
        return found

    def partitions(self, table: Table) -> list[str]:
        """The partitions that hold something, sorted by name."""
        base = f"{self.root}/{table.area}/{table.name}"
        entries = self._fs.get_file_info(pafs.FileSelector(base, allow_not_found=True, recursive=True))
        return sorted(Path(entry.path).parent.name for entry in entries if entry.base_name == POINTER)

    def pointer(self, table: Table, partition: str | date | None = None) -> dict | None:
        """What a partition's pointer says (rows, content_hash, files), or None where nothing was written."""
        return self._pointer(self._folder(table, partition))

    def content_hash(self, table: Table, partition: str | date | None = None) -> str | None:
        pointer = self.pointer(table, partition)
        return pointer["content_hash"] if pointer else None

    def version_of(self, table: Table, partitions: str | date | Iterable[str | date] | None = None) -> str:
        """One hash over the contents that several partitions have now: which version of them a result was made from.

        Of one partition it is the content hash. A partition that is not there counts as that.
        """
        names = sorted(set(self._names(table, partitions)))
        hashes = [self.content_hash(table, name) or "" for name in names]
        told = "\n".join(f"{name}:{one}" for name, one in zip(names, hashes, strict=True))
        return hashes[0] if len(hashes) == 1 else hashlib.sha256(told.encode()).hexdigest()[:20]

    @contextmanager
    def alone_at(self, table: Table) -> Iterator[None]:
        """One at a time reads what a table holds and writes what follows from it. On an object store, which has no locks,
        Dagster's pools keep them apart.
        """
        with self._alone_in(f"{self.root}/{table.area}/{table.name}"):
            yield

    # -- inside -------------------------------------------------------------------------------------------------

    @contextmanager
    def _alone_in(self, folder: str) -> Iterator[None]:
        """One writer at a time in a partition, or its clean-up could take a file that another has just pointed at. The
        lock dies with its process. An object store has no locks: there Dagster's runs keep writers of a partition apart.
        """
        if not self._local:
            yield
            return
        Path(folder).mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}/.lock"):
            yield

    def _names(self, table: Table, partitions: str | date | Iterable[str | date] | None) -> list[str]:
        if partitions is None:
            return self.partitions(table)
        if isinstance(partitions, str | date):
            return [_partition_name(partitions)]
        return [_partition_name(one) for one in partitions]

    def _folder(self, table: Table, partition: str | date | None) -> str:
        return f"{self.root}/{table.area}/{table.name}/{_partition_name(partition)}"

    def _pointer(self, folder: str) -> dict | None:
        path = f"{folder}/{POINTER}"
        try:
            with self._fs.open_input_stream(path) as stream:
                return json.loads(stream.read())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise LakeError(f"{path}: the pointer is not JSON ({error}); materialise this partition again") from error

    def _read_file(self, path: str, columns: Sequence[str] | None, coded: Sequence[str] = ()) -> pa.Table:
        with _pointed_at(path):
            return parquet_files.read(self._fs, path, columns, coded)

    def _exists(self, path: str) -> bool:
        return self._fs.get_file_info(path).type == pafs.FileType.File

    def _renewed(self, path: str) -> bool:
        """Whether a file is there; it counts as written now, so that it is not swept before it is pointed at."""
        if not self._local:
            return self._exists(path)
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        return True

    def _sweep(self, folder: str, named: set[str]) -> None:
        """Removes what killed runs left in a partition. Its writer is alone; a part that another is about to point at is young.

        Ages are told by the newest file, not by a clock. An object store has no locks, so there nothing is swept.
        """
        if not self._local:
            return
        there = {one: one.stat().st_mtime for one in Path(folder).iterdir() if one.suffix in (".parquet", ".tmp", ".json")}
        oldest = max(there.values()) - LEFT_BEHIND.total_seconds()
        for path, written in there.items():
            if path.suffix != ".json" and path.name not in named and written < oldest:
                path.unlink(missing_ok=True)

    def _put(self, path: str, data: bytes | pa.Buffer) -> None:
        if self._local:
            put_atomically(Path(path), data)
        else:  # object stores show an object only when it is complete
            with self._fs.open_output_stream(path) as stream:
                stream.write(data)

    def _remove(self, folder: str, names: Iterable[str]) -> None:
        for name in names:
            path = f"{folder}/{name}"
            if self._exists(path):
                self._fs.delete_file(path)


@contextmanager
def _pointed_at(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise LakeError(f"{path}: the pointer names this file, but it is gone; materialise the partition again") from error


def _partition_name(partition: str | date | None) -> str:
    if partition is None:
        return UNPARTITIONED
    name = partition.isoformat() if isinstance(partition, date) else partition
    if not PARTITION_NAME.match(name):
        raise LakeError(f"{name!r} cannot name a partition: letters, digits and . _ @ + : - only, 180 at most")
    return name

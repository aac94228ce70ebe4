"""The lake: Parquet files behind one small pointer file a partition.

    <lake>/<area>/<table>/<partition>/<content hash>-<shard>.parquet
    <lake>/<area>/<table>/<partition>/pointer.json        written last; names the files that count

A reader follows the pointer, so it sees the old partition or the new one and never half of either. Writing the same
rows again gives the same content hash and changes nothing. The files of the last-but-one generation are removed when a
new one is pointed at, so a reader that holds the previous pointer still finds its files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from filelock import FileLock

from grid_assets.foundation.tables import Table

ROW_GROUP = 122_880
POINTER = "pointer.json"
UNPARTITIONED = "all"
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
        rows = table.conform(frame)
        folder = self._folder(table, partition)
        with self._alone_in(folder):
            return self._replace(table, rows, folder, _partition_name(partition))

    def _replace(self, table: Table, rows: pa.Table, folder: str, partition: str) -> Written:
        digest = content_hash(rows)
        name = f"{digest}-0.parquet"
        path = f"{folder}/{name}"
        before = self._pointer(folder)
        if before and before["content_hash"] == digest and self._exists(path):
            return Written(str(table), partition, rows.num_rows, digest, (path,), False)
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd", row_group_size=ROW_GROUP)
        self._put(path, sink.getvalue())
        previous = before["files"] if before else []
        pointer = {"table": str(table), "partition": partition, "rows": rows.num_rows, "content_hash": digest,
                   "files": [name], "previous_files": previous}  # fmt: skip
        self._put(f"{folder}/{POINTER}", json.dumps(pointer, indent=1).encode())
        self._remove(folder, set(before["previous_files"] if before else ()) - set(previous) - {name})
        return Written(str(table), partition, rows.num_rows, digest, (path,), True)

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

    def _read_file(self, path: str, columns: Sequence[str] | None) -> pa.Table:
        try:
            return pq.read_table(path, columns=list(columns) if columns else None, filesystem=self._fs, partitioning=None)
        except FileNotFoundError as error:
            raise LakeError(f"{path}: the pointer names this file, but it is gone; materialise the partition again") from error

    def _exists(self, path: str) -> bool:
        return self._fs.get_file_info(path).type == pafs.FileType.File

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


def put_atomically(path: Path, data: bytes | pa.Buffer) -> None:
    """Writes a file so that a reader, or a machine that loses power, sees the old content or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{uuid.uuid4().hex}.tmp"
    try:
        with open(temporary, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def content_hash(rows: pa.Table) -> str:
    """A hash of the values of a sorted table: the same rows give the same hash whatever wrote or compressed them."""
    digest = hashlib.sha256()
    for declared in rows.schema:
        digest.update(f"{declared.name}:{declared.type};".encode())
        values = rows[declared.name]
        digest.update(np.packbits(values.is_null().to_numpy(zero_copy_only=False).astype(bool)).tobytes())
        digest.update(_value_bytes(values))
    return digest.hexdigest()[:20]


def _value_bytes(values: pa.ChunkedArray) -> bytes:
    kind = values.type
    if pa.types.is_decimal(kind):
        values = values.cast(pa.string())
    elif pa.types.is_temporal(kind):
        values = values.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
    elif pa.types.is_boolean(kind):
        values = values.cast(pa.uint8())
    if pa.types.is_string(values.type):
        filled = pc.fill_null(values, "")
        lengths = pc.binary_length(filled).to_numpy().astype("<i4").tobytes()
        return lengths + "".join(filled.to_pylist()).encode()
    return np.ascontiguousarray(pc.fill_null(values, 0).to_numpy()).tobytes()


def _partition_name(partition: str | date | None) -> str:
    if partition is None:
        return UNPARTITIONED
    name = partition.isoformat() if isinstance(partition, date) else partition
    if not PARTITION_NAME.match(name):
        raise LakeError(f"{name!r} cannot name a partition: letters, digits and . _ @ + : - only, 180 at most")
    return name

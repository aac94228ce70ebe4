"""Files that are whole at every moment."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pyarrow as pa


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

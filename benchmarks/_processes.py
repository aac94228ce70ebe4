"""Running a command and watching its time and memory, with those of its children."""

from __future__ import annotations

import compileall
import os
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLED_EVERY_SECONDS = 0.2
MIB = 2**20


class CommandFailed(RuntimeError):
    """A measured command ended with an error; its figures mean nothing."""


@dataclass(frozen=True)
class Usage:
    seconds: float
    """On the clock of the wall."""
    processor_seconds: float
    """Of the command and its children, all threads."""
    peak_mib: float
    """Resident memory of the command and its children together, the highest of the samples; shared pages count in each."""
    largest_mib: float
    """Resident memory of the largest single process. Sampled too: the kernel's own maximum begins with that of the parent."""


def compile_libraries(project: Path) -> None:
    """Writes the byte code of all installed libraries and of ours, where it is not there yet.

    A machine in use has it. Where it is switched off (PYTHONDONTWRITEBYTECODE) every process would translate the sources of
    Great Expectations anew, for ten seconds, and that is what the bench would measure.
    """
    for folder in (sysconfig.get_path("purelib"), project / "grid_assets", project / "benchmarks"):
        compileall.compile_dir(folder, quiet=2, workers=0)


def measured(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Usage:
    """Runs a command to its end. Raises CommandFailed with the end of what it said."""
    with tempfile.TemporaryFile() as said:
        began, peak, largest = time.perf_counter(), 0, 0
        process = subprocess.Popen(command, env=dict(environment), cwd=folder, stdout=said, stderr=subprocess.STDOUT)
        try:
            while True:
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                resident = [_resident_bytes(one) for one in _with_children(process.pid)]
                peak, largest = max(peak, sum(resident)), max(largest, *resident)
                time.sleep(SAMPLED_EVERY_SECONDS)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for, which Popen cannot know
        if process.returncode:
            said.seek(0)
            raise CommandFailed(f"{' '.join(command)} ended with {process.returncode}\n{said.read().decode(errors='replace')[-3000:]}")
    return Usage(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, peak / MIB, largest / MIB)


def _with_children(root: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                after_name = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended meanwhile
                continue
            children.setdefault(int(after_name[1]), []).append(int(folder.name))
    found = [root]
    for one in found:
        found += children.get(one, [])
    return found


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0

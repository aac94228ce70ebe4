"""A peer in an environment of its own: its pins do not go with ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

TIMEOUT_SECONDS = 3600


def run_apart(packages: Sequence[str], script: Path, arguments: Sequence[Path], folder: Path) -> str:
    """Runs a script with these packages, one thread each; "" where it went well, else why it did not."""
    if not shutil.which("uv"):
        return "uv, which makes its environment, is not installed"
    wanted = [part for name in packages for part in ("--with", name)]
    # -P: our platform.py is not Python's
    command = ["uv", "run", "--isolated", "--no-project", "--python", "3.11", *wanted, "python", "-P", str(script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
    try:
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"took more than {TIMEOUT_SECONDS} s"
    if ended.returncode:
        return f"failed: {ended.stderr.strip().splitlines()[-1][:200] if ended.stderr.strip() else ended.returncode}"
    return ""

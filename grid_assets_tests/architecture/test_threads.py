"""Linear algebra runs on one thread, so that results do not depend on the machine's cores."""

from __future__ import annotations

import numpy as np  # noqa: F401 - the library that is looked at
import threadpoolctl

import grid_assets  # noqa: F401 - sets the number of threads


def test_linear_algebra_has_one_thread():
    pools = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]
    assert pools
    assert all(pool["num_threads"] == 1 for pool in pools)

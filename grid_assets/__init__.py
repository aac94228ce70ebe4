"""grid_assets: the analytics of a power grid as Dagster assets, from raw meter files to settlements."""

import os

# One thread for linear algebra, set before numpy loads: sums then come out the same on any number of cores, and days that
# run at once do not fight for them. Set these variables yourself to decide otherwise.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

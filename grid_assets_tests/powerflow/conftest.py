from __future__ import annotations

import warnings
from typing import Any

import pytest


@pytest.fixture(scope="session")
def semiurban() -> Any:
    """The demo's network as SimBench gives it, unrepaired. Copy it before changing it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import simbench

        return simbench.get_simbench_net("1-MVLV-semiurb-5.220-2-sw")

"""A site's own Dagster instance: one site, one DAGSTER_HOME, so that the command line and the UI share one history."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from grid_assets.foundation.atomic_files import put_atomically
from grid_assets.foundation.site import Site

CONFIGURATION = """\
# Written by grid-assets. Nothing is sent anywhere.
telemetry:
  enabled: false
nux:
  enabled: false          # no newsletter box before an operator
run_monitoring:
  enabled: true
concurrency:
  pools:
    default_limit: 1      # the pools are landing and publish: each works on one list or file
"""


def open_instance(site: Site) -> dg.DagsterInstance:
    """Opens the site's instance, making its folder on first use, and points DAGSTER_HOME at it for child processes."""
    home = prepare_home(site)
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.from_config(str(home))


def prepare_home(site: Site) -> Path:
    site.dagster_home.mkdir(parents=True, exist_ok=True)
    configuration = site.dagster_home / "dagster.yaml"
    if not configuration.exists() or configuration.read_text() != CONFIGURATION:
        put_atomically(configuration, CONFIGURATION.encode())
    return site.dagster_home

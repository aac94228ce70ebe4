"""The part of the foundation that knows Dagster: the platform resource, doors, generic checks, registers as assets."""

"""What every area stands on: site files, tables, the lake, time, units, registers and check results. Knows no area."""

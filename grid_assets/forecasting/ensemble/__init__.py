"""The ensemble for nodes with a year of history or more: a regression an hour and gradient-boosted trees, guarded and kept up to date."""

"""Flow studies: voltages, loadings, violations of the network on the study day."""

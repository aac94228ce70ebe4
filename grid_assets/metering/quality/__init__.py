"""What is told of the readings: loads and balances of nodes, alerts, unusual and copied consumption, statistics."""

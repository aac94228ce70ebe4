"""What people enter: corrections of readings, and outages that are known."""

"""Engine: the demo site's head-end. Writes registers, network, weather and faulty meter files as a utility would deliver them."""

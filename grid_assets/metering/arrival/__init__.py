"""Files as they come become landed rows: formats, rules of arrival, the quarantine."""

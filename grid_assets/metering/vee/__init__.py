"""Validation, estimation and editing: landed rows become readings."""

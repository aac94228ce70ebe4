"""Price signals and price what-ifs."""

"""Backbones and data out of installed packages, for a first run without a download."""

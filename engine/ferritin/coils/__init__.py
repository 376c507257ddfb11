"""Coil images to combined complex echoes. One file a method."""

from ferritin.registry import export

export(__name__, globals())

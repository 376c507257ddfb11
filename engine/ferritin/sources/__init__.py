"""Paramagnetic and diamagnetic sources apart. One file a method."""

from ferritin.registry import export

export(__name__, globals())

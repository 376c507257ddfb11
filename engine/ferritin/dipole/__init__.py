"""Susceptibility from the local field. One file a method."""

from ferritin.registry import export

export(__name__, globals())

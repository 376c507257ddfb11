"""Relaxation rates from the decay over the echoes. One file a method."""

from ferritin.registry import export

export(__name__, globals())

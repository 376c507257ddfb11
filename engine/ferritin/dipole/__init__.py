"""Susceptibility from the local field. One file a method."""

from ferritin.inversion.options import with_options
from ferritin.registry import around, export

around("dipole", with_options)
export(__name__, globals())

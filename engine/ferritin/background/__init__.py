"""Fields of sources outside the mask removed. One file a method."""

from ferritin.registry import export

export(__name__, globals())

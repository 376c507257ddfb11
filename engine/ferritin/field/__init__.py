"""Phase to frequency: unwrapping and field fits. One file a method."""

from ferritin.registry import export

export(__name__, globals())

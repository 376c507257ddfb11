"""Where there is tissue with signal. One file a method."""

from ferritin.registry import export

export(__name__, globals())

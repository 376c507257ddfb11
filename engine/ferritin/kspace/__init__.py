"""Raw k-space to whitened coil images. One file a step."""

from ferritin.registry import export

export(__name__, globals())

"""ferritin: from raw multi-echo MRI to maps of susceptibility, relaxation and brain iron.

    import ferritin as ft
    scan = ft.read("raw.h5")
    maps = ft.reconstruct(scan)
    maps.chi                                    # (x, y, z) float32, ppm

Every method is a plain function: ft.dipole.tkd(local_field, mask, scan, threshold=0.15).chi
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_FUNCTIONS = {
    "Scan": "ferritin.scan",
    "align": "ferritin.inversion.orientations",
    "evaluate": "ferritin.metrics",
    "methods": "ferritin.registry",
    "read": "ferritin.io",
    "reconstruct": "ferritin.run.pipeline",
    "simulate": "ferritin.phantom",
}
_PACKAGES = (
    "background",
    "coils",
    "dipole",
    "field",
    "iron",
    "kspace",
    "mask",
    "metrics",
    "phantom",
    "relax",
    "sources",
)

__all__ = ["__version__", *_FUNCTIONS, *_PACKAGES]


def __getattr__(name: str) -> Any:
    """Public names are imported when they are first used, so that `import ferritin` takes no time."""
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"ferritin.{name}")
    raise AttributeError(f"module 'ferritin' has no attribute '{name}'; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__]

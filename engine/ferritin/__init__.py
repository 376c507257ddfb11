"""ferritin: from raw multi-echo MRI to maps of susceptibility, relaxation and brain iron.

    import ferritin as ft
    scan = ft.read("raw.h5")
    maps = ft.reconstruct(scan)
    maps.chi                                    # (x, y, z) float32, ppm

Every method is a plain function: ft.dipole.tkd(local_field, mask, scan, threshold=0.15).chi
"""

__version__ = "0.1.0"

"""Objects whose field is known in closed form, and scans to hold them."""

import numpy as np

from ferritin.scan import Scan


def scan_of(shape, voxel_mm=(1.0, 1.0, 1.0), b0_dir=(0.0, 0.0, 1.0), b0_t=3.0):
    """A scan whose affine puts B0 along `b0_dir` in voxel axes."""
    b = np.asarray(b0_dir, float) / np.linalg.norm(b0_dir)
    other = np.eye(3)[np.argmin(abs(b))]
    u = np.cross(other, b)
    u /= np.linalg.norm(u)
    rotation = np.stack([u, np.cross(b, u), b])  # rotation @ b = (0, 0, 1)
    affine = np.eye(4)
    affine[:3, :3] = rotation * voxel_mm
    return Scan(te_s=(0.01,), b0_t=b0_t, affine=affine, shape=tuple(shape))


def grid(scan, centre=None):
    """Coordinates [mm] of the voxel centres relative to `centre` [voxels], three (x, y, z) arrays."""
    centre = [n // 2 for n in scan.shape] if centre is None else centre
    axes = [(np.arange(n) - c) * v for n, c, v in zip(scan.shape, centre, scan.voxel_mm)]
    return np.meshgrid(*axes, indexing="ij")


def sphere(scan, radius_mm, centre=None, fine=5):
    """Fraction of each voxel that lies in a sphere, float32."""
    total = np.zeros(scan.shape)
    x, y, z = grid(scan, centre)
    steps = (np.arange(fine) + 0.5) / fine - 0.5
    for dx in steps:
        for dy in steps:
            for dz in steps:
                vx, vy, vz = scan.voxel_mm
                total += (x + dx * vx) ** 2 + (y + dy * vy) ** 2 + (z + dz * vz) ** 2 < radius_mm**2
    return (total / fine**3).astype(np.float32)


def sphere_field(scan, radius_mm, chi=1.0, centre=None):
    """Field [ppm] of a uniform sphere: chi/3·(R/r)³·(3cos²θ − 1) outside, 0 inside (Lorentz sphere removed)."""
    x, y, z = grid(scan, centre)
    r2 = x * x + y * y + z * z
    along = sum(c * a for c, a in zip(scan.b0_dir, (x, y, z)))
    r2 = np.maximum(r2, 1e-9)
    field = chi / 3 * radius_mm**3 / r2**1.5 * (3 * along**2 / r2 - 1)
    return np.where(r2 < radius_mm**2, 0, field).astype(np.float32)


def cylinder_field(scan, radius_mm, chi=1.0):
    """Field [ppm] of an endless cylinder along x through the middle, B0 anywhere.

    With a the angle to B0: chi/2·sin²a·(R/r)²·cos 2φ outside, chi/6·(3cos²a − 1) inside.
    """
    _, y, z = grid(scan)
    b = np.asarray(scan.b0_dir)
    sin2 = 1 - b[0] ** 2
    across = b[1:] / max(np.hypot(*b[1:]), 1e-12)
    r2 = np.maximum(y * y + z * z, 1e-9)
    cos_2phi = 2 * (across[0] * y + across[1] * z) ** 2 / r2 - 1
    outside = chi / 2 * sin2 * radius_mm**2 / r2 * cos_2phi
    return np.where(r2 < radius_mm**2, chi / 6 * (3 * b[0] ** 2 - 1), outside).astype(np.float32)

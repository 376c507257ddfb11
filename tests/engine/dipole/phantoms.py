"""Susceptibility phantoms for the inversions: six spheres, and their field by the closed form."""

import numpy as np

from properties.fields import grid, scan_of, sphere, sphere_field

CHI = (-0.2, -0.1, 0.05, 0.1, 0.2, 0.4)


def six_spheres(voxel=(1.0, 1.0, 1.0), b0_dir=(0.0, 0.0, 1.0), n=64):
    """Spheres of radius 5 mm on a ring in a ball of zero; returns scan, mask, chi, labels, field [Hz]."""
    shape = tuple(2 * round(n / v / 2) for v in voxel)
    scan = scan_of(shape, voxel, b0_dir)
    x, y, z = grid(scan)
    mask = x**2 + y**2 + z**2 < (0.45 * n) ** 2
    chi, field = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    labels = np.zeros(shape, np.uint8)
    for i, value in enumerate(CHI):
        angle = 2 * np.pi * i / len(CHI)
        at = (0.26 * n * np.cos(angle), 0.26 * n * np.sin(angle), 0.05 * n * (-1) ** i)
        centre = [m // 2 + p / v for m, p, v in zip(shape, at, scan.voxel_mm)]
        ball = sphere(scan, 5.0, centre)
        chi += value * ball
        field += sphere_field(scan, 5.0, value, centre)
        labels[ball > 0.99] = i + 1
    return scan, mask, chi, labels, (field * mask * scan.hz_per_ppm).astype(np.float32)


def slope(found, chi, labels):
    """Regression of the regional means on the truth."""
    means = np.array([[found[labels == i].mean(), chi[labels == i].mean()] for i in range(1, len(CHI) + 1)])
    return np.polyfit(means[:, 1], means[:, 0], 1)[0]

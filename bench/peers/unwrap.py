"""Phase unwrapping: scikit-image's sorting by reliability, phase_unwrap's Laplacian, ROMEO where it is installed."""

from __future__ import annotations

import contextlib
import io
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from entry import entry, our_methods
from scene import Scene

our_methods("unwrap", ("echoes", "mask"))


def score(unwrapped: np.ndarray, scene: Scene) -> dict[str, float]:
    """Share of the inner mask's voxels that are off by more than half a turn, mean over the echoes."""
    wrong = []
    for ours, true in zip(unwrapped, scene.true_phase):
        error = (ours - true)[scene.inner]
        wrong.append(np.mean(np.abs(error - np.median(error)) > np.pi))
    return {"wrong_percent": 100 * float(np.mean(wrong)), "wrong_last_echo_percent": 100 * float(wrong[-1])}


@entry("unwrap", "scikit-image unwrap_phase", "skimage", about="Abdul-Rahman 2007 / Herráez 2002, masked")
def scikit_image(scene: Scene):
    from skimage.restoration import unwrap_phase

    wrapped = [np.ma.array(np.angle(e), mask=~scene.mask) for e in scene.echoes]
    return lambda: np.stack([np.asarray(unwrap_phase(w)) for w in wrapped])


@entry("unwrap", "phase_unwrap", "phase_unwrap", about="Laplacian by FFT, high-passed by the program")
def laplacian(scene: Scene):
    import nibabel
    from phase_unwrap.cli import unwrap_phase

    images = [nibabel.Nifti1Image(np.angle(e).astype(np.float32), scene.data.affine) for e in scene.echoes]

    def run() -> np.ndarray:
        with contextlib.redirect_stdout(io.StringIO()):
            return np.stack([unwrap_phase(image).get_fdata() for image in images])

    return run


def _files(scene: Scene, folder: Path) -> tuple[Path, Path, Path]:
    from ferritin.io.writing import write_nifti

    phase, magnitude, mask = (folder / f"{name}.nii" for name in ("phase", "magnitude", "mask"))
    echoes = np.moveaxis(scene.echoes, 0, -1)
    write_nifti(phase, np.angle(echoes), scene.data.affine)
    write_nifti(magnitude, np.abs(echoes), scene.data.affine)
    write_nifti(mask, scene.mask, scene.data.affine)
    return phase, magnitude, mask


@entry("unwrap", "ROMEO (mritools)", "romeo", about="the authors' program, files included")
def romeo(scene: Scene):
    folder = Path(tempfile.mkdtemp())
    phase, magnitude, mask = _files(scene, folder)
    te = "[" + ",".join(f"{1e3 * t:g}" for t in scene.data.params["TE"]) + "]"
    words = ["romeo", "-p", phase, "-m", magnitude, "-k", mask, "-t", te, "-o", folder / "out.nii"]

    def run() -> np.ndarray:
        from ferritin.io.nifti import load_volume

        subprocess.run(words, check=True, capture_output=True)
        return np.moveaxis(load_volume(folder / "out.nii")[0], -1, 0)

    return run

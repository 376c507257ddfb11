"""Background removal and inversion: textbook versions in plain scipy and sigpy, and programs of others when installed.

The textbook versions are written from the papers in double precision without regard to speed: what a researcher writes
in an afternoon. QSM.rs is called through qsmxt's command line, MEDI's toolbox through Octave.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import scipy.fft
from entry import ENTRIES, Entry, entry, our_methods
from scene import Scene

from ferritin.metrics import evaluate

our_methods("background", ("total_field", "field_noise", "mask", "echoes"))
our_methods("dipole", ("local_field", "field_noise", "mask", "s0", "r2star"))


def score(values: np.ndarray, scene: Scene, target: str) -> dict[str, float]:
    """NRMSE, XSIM and HFEN over the mask (missing voxels count as 0), and NRMSE inside by 5 mm."""
    if target == "local_field":
        values = values / np.float32(scene.data.hz_per_ppm)
    true = scene.data.truth(target)
    whole, inner = evaluate(values, true, scene.mask), evaluate(values, true, scene.inner)
    return {
        "nrmse": whole["nrmse"], "nrmse_inner": inner["nrmse"], "xsim": whole["xsim_uniform5"], "hfen": whole["hfen"],
        "coverage": whole["coverage"],
    }  # fmt: skip


def kernel(scene: Scene, shape: tuple[int, ...]) -> np.ndarray:
    """D = 1/3 - (k·b)²/k² on the unshifted grid."""
    voxel, b = scene.data.params["voxel_size"], scene.data.scan().b0_dir
    k = np.meshgrid(*(np.fft.fftfreq(n, v) for n, v in zip(shape, voxel)), indexing="ij", sparse=True)
    k2 = sum(a * a for a in k)
    k2[0, 0, 0] = 1
    out = 1 / 3 - sum(a * c for a, c in zip(k, b)) ** 2 / k2
    out[0, 0, 0] = 0
    return out


def ppm(scene: Scene, name: str) -> np.ndarray:
    return (scene.data.given(name) / scene.data.hz_per_ppm).astype(np.float64)


@entry("dipole", "textbook TKD", "scipy", about="threshold 0.15, no correction of the point spread")
def textbook_tkd(scene: Scene):
    field = ppm(scene, "local_field") * scene.mask

    def run() -> np.ndarray:
        d = kernel(scene, field.shape)
        inverse = np.where(np.abs(d) > 0.15, 1 / np.where(d == 0, 1, d), np.sign(d) / 0.15)
        return scipy.fft.ifftn(scipy.fft.fftn(field, workers=-1) * inverse, workers=-1).real * scene.mask

    return run


@entry("dipole", "textbook TV (ADMM)", "scipy", about="Bilgic 2014, mask as weight, λ 3e-4, 200 iterations, float64")
def textbook_tv(scene: Scene):
    field, mask = ppm(scene, "local_field") * scene.mask, scene.mask.astype(float)

    def run(weight: float = 3e-4, mu: float = 3e-2, mu_data: float = 1.0, n: int = 200) -> np.ndarray:
        fft = lambda v: scipy.fft.rfftn(v, workers=-1)  # noqa: E731
        back = lambda v: scipy.fft.irfftn(v, field.shape, workers=-1)  # noqa: E731
        d = kernel(scene, field.shape)[..., : field.shape[2] // 2 + 1]
        steps = np.meshgrid(*(np.fft.fftfreq(m) for m in field.shape), indexing="ij", sparse=True)
        g = [(1 - np.exp(-2j * np.pi * s))[..., : d.shape[2]] for s in np.broadcast_arrays(*steps)]
        system = mu_data * d**2 + mu * sum(np.abs(a) ** 2 for a in g)
        system[0, 0, 0] = 1
        x, y = np.zeros(field.shape), field.copy()
        u, s = np.zeros(field.shape), [np.zeros(field.shape) for _ in g]
        z = [np.zeros(field.shape) for _ in g]
        for _ in range(n):
            right = mu_data * d * fft(y - u) + mu * sum(a.conj() * fft(zi - si) for a, zi, si in zip(g, z, s))
            spectrum = right / system
            x = back(spectrum)
            for i, a in enumerate(g):
                slope = back(a * spectrum)
                z[i] = np.sign(slope + s[i]) * np.maximum(np.abs(slope + s[i]) - weight / mu, 0)
                s[i] += slope - z[i]
            made = back(d * spectrum)
            y = (mask * field + mu_data * (made + u)) / (mask + mu_data)
            u += made - y
        return x * mask

    return run


@entry("dipole", "scipy LSMR", "scipy", about="weighted Tikhonov by scipy.sparse.linalg.lsmr, damp 0.05, 60 iterations")
def scipy_lsmr(scene: Scene):
    from scipy.sparse.linalg import LinearOperator, lsmr

    field, mask = ppm(scene, "local_field") * scene.mask, scene.mask

    def run() -> np.ndarray:
        d = kernel(scene, field.shape)[..., : field.shape[2] // 2 + 1]

        def convolved(v):
            spectrum = scipy.fft.rfftn(v.reshape(field.shape), workers=-1)
            return scipy.fft.irfftn(d * spectrum, field.shape, workers=-1)

        n = field.size
        operator = LinearOperator(
            (n, n), matvec=lambda v: (mask * convolved(v)).ravel(),
            rmatvec=lambda v: convolved(mask * v.reshape(field.shape)).ravel(), dtype=float,
        )  # fmt: skip
        return lsmr(operator, field.ravel(), damp=0.05, maxiter=60)[0].reshape(field.shape) * mask

    return run


@entry("dipole", "sigpy TV (PDHG)", "sigpy", about="LinearLeastSquares with a TV penalty, λ 3e-4, 200 iterations")
def sigpy_tv(scene: Scene):
    import sigpy

    field, mask = ppm(scene, "local_field") * scene.mask, scene.mask.astype(np.float32)

    def run() -> np.ndarray:
        d = np.fft.fftshift(kernel(scene, field.shape)).astype(np.float32)
        fft = sigpy.linop.FFT(field.shape)
        model = sigpy.linop.Multiply(field.shape, mask) * fft.H * sigpy.linop.Multiply(field.shape, d) * fft
        gradient = sigpy.linop.FiniteDifference(field.shape)
        app = sigpy.app.LinearLeastSquares(
            model, field.astype(np.complex64), proxg=sigpy.prox.L1Reg(gradient.oshape, 3e-4), G=gradient,
            max_iter=200, show_pbar=False,
        )  # fmt: skip
        return app.run().real * mask

    return run


@entry("background", "textbook LBV", "scipy", about="Poisson equation in the mask by scipy's conjugate gradients")
def textbook_lbv(scene: Scene):
    from scipy import ndimage
    from scipy.sparse import coo_matrix, diags
    from scipy.sparse.linalg import cg

    field = scene.data.given("total_field").astype(np.float64)
    inside = ndimage.binary_erosion(scene.mask)

    def run() -> np.ndarray:
        number = np.full(field.shape, -1)
        number[inside] = np.arange(inside.sum())
        rows, columns, right = [], [], np.zeros(inside.sum())
        for axis in range(3):
            for step in (1, -1):
                neighbour = np.roll(number, step, axis)[inside]
                right += field[inside] - np.roll(field, step, axis)[inside]
                rows.append(np.flatnonzero(neighbour >= 0))
                columns.append(neighbour[neighbour >= 0])
        rows, columns = np.concatenate(rows), np.concatenate(columns)
        n = len(right)
        matrix = diags(np.full(n, 6.0)) - coo_matrix((np.ones(len(rows)), (rows, columns)), (n, n))
        out = np.zeros(field.shape, np.float32)
        out[inside] = cg(matrix.tocsr(), right, rtol=1e-5, maxiter=2000)[0]
        return out

    return run


@entry("background", "textbook SHARP", "scipy", about="Schweser 2011, ball of 6 mm, threshold 0.05")
def textbook_sharp(scene: Scene):
    field, mask = scene.data.given("total_field").astype(np.float64), scene.mask

    def run() -> np.ndarray:
        grid = np.meshgrid(*(np.fft.fftfreq(n, 1 / n) * scene.voxel_mm for n in field.shape), indexing="ij")
        ball = (sum(g * g for g in grid) <= 36).astype(float)
        c = 1 - scipy.fft.fftn(ball / ball.sum(), workers=-1)
        inner = scipy.fft.ifftn((1 - c) * scipy.fft.fftn(mask * 1.0, workers=-1), workers=-1).real > 0.999
        g = inner * scipy.fft.ifftn(c * scipy.fft.fftn(field, workers=-1), workers=-1).real
        inverse = np.where(np.abs(c) > 0.05, 1 / np.where(c == 0, 1, c), 0)
        return inner * scipy.fft.ifftn(inverse * scipy.fft.fftn(g, workers=-1), workers=-1).real

    return run


# ---- programs that cannot be installed from PyPI or Debian: used where they are ------------------------------------


def _program(task: str, name: str, words: tuple[str, ...]) -> None:
    """QSM.rs by qsmxt's command line: fields in ppm, files included in the time."""

    def prepare(scene: Scene):
        from ferritin.io.nifti import load_volume
        from ferritin.io.writing import write_nifti

        folder = Path(tempfile.mkdtemp())
        given = "total_field" if task == "background" else "local_field"
        write_nifti(folder / "field.nii", ppm(scene, given).astype(np.float32), scene.data.affine)
        write_nifti(folder / "mask.nii", scene.mask, scene.data.affine)
        direction = ["--b0-direction", *map(str, scene.data.scan().b0_dir)] if task == "dipole" else []
        line = [*words, folder / "field.nii", "-m", folder / "mask.nii", "-o", folder / "out.nii", *direction]

        def run() -> np.ndarray:
            subprocess.run(line, check=True, capture_output=True)
            scale = scene.data.hz_per_ppm if task == "background" else 1.0
            return load_volume(folder / "out.nii")[0] * np.float32(scale)

        return run

    ENTRIES.append(Entry(task, name, prepare, (words[0],), "files included: " + " ".join(words)))


for _name in ("vsharp", "pdf", "lbv", "ismv", "sharp", "resharp"):
    _program("background", f"QSM.rs {_name}", ("qsmxt", "bgremove", _name))
for _name in ("tkd", "tsvd", "tikhonov", "rts", "tv", "nltv", "ndi", "fansi", "hdqsm", "l1qsm", "whqsm", "medi", "tgv"):
    _program("dipole", f"QSM.rs {_name}", ("qsmxt", "invert", _name))


def _octave(task: str, name: str, call: str) -> None:
    """MEDI's toolbox (folder in the variable MEDI_TOOLBOX) in Octave; the start of the interpreter is in the time."""

    def prepare(scene: Scene):
        from scipy.io import loadmat, savemat

        toolbox = os.environ.get("MEDI_TOOLBOX")
        if not toolbox:
            raise FileNotFoundError("set MEDI_TOOLBOX to the folder of the toolbox")
        folder = Path(tempfile.mkdtemp())
        given = scene.data.given("total_field").astype(float)
        noise = scene.data.given("field_noise").astype(float)
        said = {
            "f": given, "noise": noise, "mask": scene.mask.astype(float), "n": np.array(given.shape, float),
            "v": np.array(scene.data.params["voxel_size"], float), "b": np.array(scene.data.scan().b0_dir),
        }  # fmt: skip
        savemat(folder / "in.mat", said)
        script = (
            f"addpath(genpath('{toolbox}'));load('{folder}/in.mat');out={call};save('-v7','{folder}/out.mat','out');"
        )

        def run() -> np.ndarray:
            subprocess.run(["octave", "--eval", script], check=True, capture_output=True)
            return loadmat(folder / "out.mat")["out"].astype(np.float32)

        return run

    ENTRIES.append(Entry(task, name, prepare, ("octave",), f"Octave: {call}"))


_octave("background", "MEDI toolbox PDF", "PDF(f,noise,mask,n,v,b)")
_octave("background", "MEDI toolbox LBV", "LBV(f,mask,n,v,1e-4,4,1)")

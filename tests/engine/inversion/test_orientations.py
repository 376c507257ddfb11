"""Several orientations from images alone: registered, resampled, and B0 where the head's turn puts it."""

import json

import nibabel as nib
import numpy as np
import pytest
from click.testing import CliRunner
from scipy.spatial.transform import Rotation

from engine.solvers.test_registration import image, rigid
from ferritin.dipole import cosmos
from ferritin.errors import FerritinError, InputError, ShapeError
from ferritin.inversion.orientations import align
from ferritin.run.cli import cli
from ferritin.scan import Scan

SHAPE = (46, 54, 50)
VOXEL = 3.5
BALLS = (((-20, 5, 8), 9.0, 0.15), ((22, -12, 4), 9.0, -0.1), ((3, 25, -22), 11.0, 0.08))
TURNS = (
    (np.eye(4), 0.0),
    (rigid((28, 4, -3), (5, -4, 6)), 9.0),
    (rigid((-22, 16, 5), (-6, 3, 2)), 0.0),
    (rigid((3, -30, 2), (2, 5, -3)), -6.0),
)


def grid_affine(tilt_deg):
    """The slab's affine in the scanner, turned about x."""
    affine = rigid((tilt_deg, 0, 0), (0, 0, 0)) @ np.diag((VOXEL, VOXEL, VOXEL, 1.0))
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    return affine


def world(affine):
    index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def field_ppm(affine, turn):
    """Analytic field of the balls, carried along by the head's turn; B0 is the scanner's z."""
    out = np.zeros(SHAPE)
    for centre, radius, chi in BALLS:
        away = world(affine) - (turn[:3, :3] @ centre + turn[:3, 3])
        r = np.maximum(np.linalg.norm(away, axis=-1), 1e-6)
        out += np.where(r > radius, chi / 3 * (radius / r) ** 3 * (3 * (away[..., 2] / r) ** 2 - 1), 0)
    return out


def orientation(turn, tilt_deg):
    affine = grid_affine(tilt_deg)
    magnitude = image(affine, SHAPE, turn)
    scan = Scan((), 3.0, affine, SHAPE)
    mask = magnitude > 0.2
    return (field_ppm(affine, turn) * scan.hz_per_ppm * mask).astype(np.float32), mask, magnitude, scan


@pytest.fixture(scope="module")
def head():
    return [orientation(*turn) for turn in TURNS]


@pytest.fixture(scope="module")
def aligned(head):
    return align(*zip(*head))


def truth():
    away = [np.linalg.norm(world(grid_affine(0.0)) - np.array(c), axis=-1) for c, _, _ in BALLS]
    return [r < radius - 2.5 for r, (_, radius, _) in zip(away, BALLS)]


def test_b0_and_fields_follow_the_heads_turn(head, aligned):
    found, first = aligned, head[0][3]
    for i, (turn, _) in enumerate(TURNS):
        expected = turn[:3, :3].T @ (0, 0, 1)
        assert np.degrees(np.arccos(np.clip(found.b0_dirs[i] @ expected, -1, 1))) < 0.5
        balls, smooth = np.zeros(SHAPE), found.mask.copy()
        for centre, radius, chi in BALLS:
            away = world(first.affine) - np.array(centre)
            r = np.maximum(np.linalg.norm(away, axis=-1), 1e-6)
            along = away @ expected / r
            balls += np.where(r > radius, chi / 3 * (radius / r) ** 3 * (3 * along**2 - 1), 0)
            smooth &= abs(r - radius) > 5  # the field jumps at the balls' surface, which voxels cannot follow
        a, b = found.local_fields[i][smooth], (balls * first.hz_per_ppm)[smooth]
        assert np.corrcoef(a, b)[0, 1] > 0.95
    for match, (turn, _) in zip(found.matches, TURNS[1:]):
        assert match.angle_deg == pytest.approx(np.degrees(Rotation.from_matrix(turn[:3, :3]).magnitude()), abs=0.6)


def test_cosmos_of_what_was_registered_is_the_balls_susceptibility(head, aligned):
    found = aligned
    chi = cosmos(found.local_fields, found.b0_dirs, found.mask, head[0][3], reference="none").chi
    rest = found.mask & ~np.any([np.abs(chi) > 0.04], axis=0)
    means = [chi[ball].mean() - chi[rest].mean() for ball in truth()]
    np.testing.assert_allclose(means, [chi for _, _, chi in BALLS], atol=0.02)


def test_the_stage_takes_the_files_of_all_orientations(head, tmp_path):
    args = []
    for i, (field, mask, magnitude, scan) in enumerate(head):
        for name, values in (("local_field", field), ("mask", mask.astype(np.uint8)), ("magnitude", magnitude)):
            file = tmp_path / f"{name}{i}.nii.gz"
            nib.save(nib.Nifti1Image(values, scan.affine), file)
            args.append(f"--in={name}={file}")
    run = ["stage", "orientations", "--b0", "3", "--device", "cpu", "-o", str(tmp_path / "out"), "--json"]
    said = CliRunner().invoke(cli, [*run, *args], catch_exceptions=False)
    assert said.exit_code == 0, said.output
    info = json.loads(said.output)
    assert info["method"] == "cosmos"
    assert "degrees onto the first" in info["findings"][0]
    chi = nib.load(tmp_path / "out" / "chi_orientations.nii.gz").get_fdata()
    assert chi[truth()[0]].mean() - chi[truth()[1]].mean() == pytest.approx(0.25, abs=0.03)
    with pytest.raises(FerritinError, match="need local_field, mask, magnitude"):
        CliRunner().invoke(cli, [*run, *[a for a in args if "magnitude" not in a]], catch_exceptions=False)


def test_fields_that_are_aligned_already_come_with_their_directions(head, aligned, tmp_path):
    found, affine = aligned, head[0][3].affine
    nib.save(nib.Nifti1Image(np.moveaxis(found.local_fields, 0, -1), affine), tmp_path / "f.nii.gz")
    nib.save(nib.Nifti1Image(found.mask.astype(np.uint8), affine), tmp_path / "m.nii.gz")
    np.savetxt(tmp_path / "b.txt", found.b0_dirs)
    files = [f"--in=local_fields={tmp_path}/f.nii.gz", f"--in=mask={tmp_path}/m.nii.gz"]
    run = ["stage", "orientations", *files, f"--in=b0_dirs={tmp_path}/b.txt", "--b0", "3", "-o", str(tmp_path / "out")]
    assert CliRunner().invoke(cli, run, catch_exceptions=False).exit_code == 0
    assert (tmp_path / "out" / "chi_orientations.nii.gz").exists()


def test_numbers_of_volumes_must_agree(head):
    fields, masks, magnitudes, scans = zip(*head)
    with pytest.raises(ShapeError, match="the same number"):
        align(fields, masks[:3], magnitudes, scans)


def test_field_strengths_must_agree(head):
    fields, masks, magnitudes, scans = zip(*head)
    other = scans[1].replace(b0_t=7.0, f0_hz=None)
    with pytest.raises(InputError, match="one field strength"):
        align(fields, masks, magnitudes, (scans[0], other, *scans[2:]))


def test_a_direction_of_nothing_is_refused(aligned, head):
    directions = aligned.b0_dirs.copy()
    directions[1] = 0
    with pytest.raises(InputError, match="other than 0"):
        cosmos(aligned.local_fields, directions, aligned.mask, head[0][3])

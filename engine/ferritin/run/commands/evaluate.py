"""`ferritin evaluate`: how near a map is to the truth."""

from __future__ import annotations

from pathlib import Path

import click

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("recon", type=_FILE)
@click.argument("truth", type=_FILE)
@click.option("--mask", type=_FILE, required=True, help="What is scored: voxels above 0.")
@click.option("--labels", type=_FILE, help="Regions with the numbers of the QSM challenge; adds the regions' metrics.")
@click.option("--scale", default=1.0, help="Multiply RECON first, for example to turn a field in Hz into ppm.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, regions included.")
def command(recon: Path, truth: Path, mask: Path, labels: Path | None, scale: float, as_json: bool) -> None:
    """Score the map RECON against TRUTH: challenge metrics, XSIM with both windows, HFEN. Maps in ppm."""
    import json

    import numpy as np

    from ferritin.io.writing import plain
    from ferritin.metrics import evaluate, region_means

    chi, affine = _volume(recon, None)
    reference, mask_volume = (_volume(f, (recon, affine))[0] for f in (truth, mask))
    regions = _volume(labels, (recon, affine))[0].astype(int) if labels else None
    voxel_mm = np.linalg.norm(affine[:3, :3], axis=0)
    chi, inside = chi * scale, mask_volume > 0
    scores = evaluate(chi, reference, inside, regions, voxel_mm)
    if as_json:
        out = {"recon": str(recon), "truth": str(truth), "metrics": scores}
        if regions is not None:
            out["regions"] = region_means(np.where(np.isfinite(chi), chi, 0), reference, inside, regions)
        click.echo(json.dumps(plain(out), indent=2, allow_nan=False))
        return
    for name, value in scores.items():
        click.echo(f"{name:32s} {value:10.4f}")


def _volume(path: Path, like):
    """Values and affine of a NIfTI file on the same grid as another."""
    import nibabel
    import numpy as np

    from ferritin.errors import FormatError, ShapeError

    try:
        image = nibabel.load(path)
        values = np.asarray(image.dataobj, np.float32)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError) as why:
        raise FormatError(f"{path} cannot be read as NIfTI ({why}); give a .nii or .nii.gz file") from why
    if like is not None and not np.allclose(image.affine, like[1], atol=1e-2):
        raise ShapeError(f"{path} lies elsewhere than {like[0]}: their affines differ; resample one onto the other")
    return values, image.affine

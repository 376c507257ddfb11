"""Command-line values: several after one option, sizes, named files."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ferritin.errors import ParameterError
from ferritin.run.options import SeveralValues, named_files, size_in_bytes


def test_echo_times_take_every_number_that_follows():
    @click.command(cls=SeveralValues)
    @click.option("--te-ms", type=float, multiple=True)
    @click.option("--b0", type=float)
    @click.argument("name")
    def show(te_ms, b0, name):
        click.echo(f"{te_ms} {b0} {name}")

    result = CliRunner().invoke(show, ["x", "--te-ms", "4", "12", "-20.5", "--b0", "7"])
    assert result.output.strip() == "(4.0, 12.0, -20.5) 7.0 x"


@pytest.mark.parametrize(("text", "n"), [("6GiB", 6 * 2**30), ("800 MB", 800_000_000), ("12", 12), ("1.5k", 1500)])
def test_sizes(text, n):
    assert size_in_bytes(text) == n


@pytest.mark.parametrize("text", ["much", "1.2.3GB", ".", "9" * 400, "-1GB"])
def test_wrong_sizes_are_refused(text):
    with pytest.raises(ParameterError, match="6GiB"):
        size_in_bytes(text)


def test_wrong_pairs_are_refused():
    with pytest.raises(ParameterError, match="ARTIFACT=FILE"):
        named_files(("mask",))
    assert named_files(("mask=m.nii.gz",)) == {"mask": Path("m.nii.gz")}

"""`ferritin methods`: every name whole on a line of its own, in a pipe and at a narrow terminal."""

import pytest
from click.testing import CliRunner

from ferritin.registry import methods
from ferritin.run.cli import cli
from ferritin.run.commands.methods import _print_table, _row


def test_a_pipe_gets_one_line_a_method():
    lines = CliRunner().invoke(cli, ["methods"], catch_exceptions=False).output.splitlines()
    rows = [line.split("\t") for line in lines]
    assert [(stage, name.removesuffix(" *")) for stage, name, *_ in rows] == [(m.stage, m.name) for m in methods()]
    assert {len(row) for row in rows} == {5}


@pytest.mark.parametrize("columns", ["80", "200"])
def test_names_stay_whole_in_a_table(monkeypatch, capsys, columns):
    monkeypatch.setenv("COLUMNS", columns)
    _print_table([_row(m) for m in methods()])
    found = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if line.strip()]
    for m in methods():
        assert [m.stage, m.name] in found

"""Progress tells the same run to a terminal, to a log, and to nobody."""

import io

import pytest

from ferritin.run.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def run(progress, fail=False):
    with progress.stages(["mask", "dipole"]) as told:
        with told.stage("mask", "signal"):
            pass
        with told.stage("dipole", "tv") as advance:
            for i in range(1, 4):
                advance(i, 7)
            if fail:
                raise ValueError("no")


def test_silent_says_nothing(capsys):
    run(Progress.silent())
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_one_line_a_stage():
    stream = io.StringIO()
    run(Progress.for_terminal(stream))
    lines = stream.getvalue().splitlines()
    assert [line.split(") ")[0] + ")" for line in lines] == ["[1/2] mask (signal)", "[2/2] dipole (tv)"]


def test_a_log_says_which_stage_failed():
    stream = io.StringIO()
    with pytest.raises(ValueError, match="no"):
        run(Progress.for_terminal(stream), fail=True)
    assert "[2/2] dipole (tv) failed after" in stream.getvalue()


def test_a_terminal_gets_bars_with_steps():
    stream = Terminal()
    with pytest.raises(ValueError, match="no"):
        run(Progress.for_terminal(stream), fail=True)
    assert "3/7" in stream.getvalue()
    assert "failed" in stream.getvalue()


def test_bars_are_full_when_a_stage_stops_early():
    stream = Terminal()
    run(Progress.for_terminal(stream))
    assert stream.getvalue().count("✓") >= 2

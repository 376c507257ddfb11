"""Keys of stages: what makes a result of an earlier run another one."""

import numpy as np

from ferritin.run.cache import stage_key
from ferritin.run.config import choose
from ferritin.run.plan import Step


def key(**parameters):
    step = Step("coils", *choose({"coils": {"method": "roemer", **parameters}}, "coils"))
    return stage_key(step, {"coil_images": "a"}, "1")


def test_a_changed_file_changes_the_key(tmp_path):
    path = tmp_path / "c.npy"
    np.save(path, np.zeros(4))
    before = key(sensitivities=str(path))
    assert key(sensitivities=str(path)) == before
    np.save(path, np.ones(4))
    assert key(sensitivities=str(path)) != before


def test_a_renamed_file_does_not(tmp_path):
    for name in "ab":
        np.save(tmp_path / f"{name}.npy", np.zeros(4))
    assert key(sensitivities=str(tmp_path / "a.npy")) == key(sensitivities=str(tmp_path / "b.npy"))


def test_parameters_and_versions_change_the_key():
    assert len({key(), key(smoothing_mm=5), key(sensitivities="nowhere.npy")}) == 3

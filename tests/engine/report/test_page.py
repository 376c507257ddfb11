"""The page holds everything, asks the network for nothing, and works in a browser."""

import re
import shutil
import subprocess
import tracemalloc
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest

from ferritin.report import judge, write_report
from ferritin.report.layers import layers
from ferritin.report.verdicts import Verdict
from ferritin.run.info import StageInfo
from ferritin.scan import Finding, Scan
from ferritin.stages import ARTIFACTS, Record

RNG = np.random.default_rng(0)
VOID = {"meta", "img", "input", "br", "path", "use"}


class Page(HTMLParser):
    """Checks that tags are balanced; collects text, identifiers and references."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.ids, self.references, self.tags = [], "", [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        self.tags.append((tag, said))
        self.ids += [said["id"]] if "id" in said else []
        self.references += [said[a] for a in ("src", "href", "srcset", "data") if a in said]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + " "


def make(shape=(20, 24, 18), n_echoes=3, names=("chi", "r2star", "total_field", "field_noise"), **changes):
    mask = np.zeros(shape, bool)
    mask[3:-3, 4:-4, 3:-3] = True
    arrays = {n: (RNG.normal(size=shape) * mask).astype(np.float32) for n in names} | {"mask": mask}
    stages = (
        StageInfo("mask", "signal", "own"),
        StageInfo("dipole", "tv", "Bilgic <2014>", {"lambda": 5e-4}, 6.51, 3 << 30, 412,
                  Record(87, 2e-3, "tolerance", ("a <note>",))),
    )  # fmt: skip
    te = [0.005 * (i + 1) for i in range(n_echoes)]
    findings = (Finding("3 lines & more", "left out"),)
    scan = Scan(te, 3.0, np.diag((2, 2, 3, 1.0)), shape, provenance={"file": "a<b>.h5"}, findings=findings)
    maps = {"scan": scan, "artifacts": arrays, "stages": stages, "missing": {"r1": "one flip angle"}}
    return SimpleNamespace(**(maps | changes))


def written(tmp_path, maps, verdicts=None):
    path = tmp_path / "sub-07_report.html"
    write_report(path, maps, judge(maps) if verdicts is None else verdicts)
    return Page(path.read_text())


def test_every_written_map_has_its_picture(tmp_path):
    """What recon can write of one volume is shown, but for masks, which are outlines, and tensors' parts."""
    volumes = {n for n, a in ARTIFACTS.items() if a.file and len(a.axes) == 3 and a.dtype == "float32"}
    volumes -= {"chi_orientations", "chi_anisotropy", "r2prime_se"}
    maps = make(names=tuple(volumes))
    assert {layer.name for layer in layers(maps)} == volumes
    assert "Iron" in written(tmp_path, maps).text


def test_everything_is_on_the_page(tmp_path):
    page = written(tmp_path, make(), [Verdict("sign", "dipole", "fail", "inverted <sign>", -0.04, "> 0.005 ppm")])
    for words in (
        "sub-07", "1 of 1 checks failed", "inverted <sign>", "expected > 0.005 ppm", "3 lines & more", "a <note>",
        "r1", "one flip angle", "Susceptibility χ", "ppm", "R2*", "1/s", "Total field", "Hz", "Radiological display",
        "6.51 s", "3.00 GiB", "412", "lambda = 0.0005", "tolerance after 87", "Bilgic <2014>", "a<b>.h5", "3 T",
        "3 echoes, 5–15 ms", "2 × 2 × 3 mm", "axial", "coronal", "sagittal", "numpy",
    ):  # fmt: skip
        assert words in page.text, words


def test_nothing_is_asked_from_the_network(tmp_path):
    page = written(tmp_path, make())
    assert page.references
    assert all(r.startswith(("data:", "#")) for r in page.references)
    text = (tmp_path / "sub-07_report.html").read_text()
    assert not re.search(r"url\(|@import|https?://|fetch\(|<link", text)


def test_links_and_outlines_lead_somewhere_and_identifiers_are_unique(tmp_path):
    page = written(tmp_path, make())
    assert len(set(page.ids)) == len(page.ids)
    assert {r[1:] for r in page.references if r.startswith("#")} <= set(page.ids)


def test_every_map_has_pictures_of_three_planes_with_orientation(tmp_path):
    page = written(tmp_path, make())
    tiles = [said for tag, said in page.tags if tag == "button"]
    assert len(tiles) == 4 * 3 * 6
    assert {said["data-map"] for said in tiles} == {"chi", "r2star", "total_field", "field_noise"}
    assert page.text.count(" R ") == 4 * 2 * 6


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (Record(), "closed form"),
        (Record(60, 0.005, "iterations"), "the limit of 60 iterations, residual 0.005"),
        (Record(7, None, "tolerance"), "tolerance after 7"),
    ],
)
def test_how_a_stage_ended_is_said_in_words(tmp_path, record, words):
    maps = make(stages=(StageInfo("dipole", "tv", "x", {"unset": None}, record=record),))
    page = written(tmp_path, maps)
    assert words in page.text
    assert "unset" not in page.text


def test_one_echo_shows_magnitude_and_phase_and_says_what_is_missing(tmp_path):
    shape = (12, 14, 6)
    echo = (RNG.normal(size=(1, *shape)) + 1j).astype(np.complex64)
    maps = make(shape, 1, names=(), missing={"r2star": "1 echo: needs two", "chi": "1 echo: needs two"})
    maps.artifacts["echoes"] = echo
    page = written(tmp_path, maps)
    assert "Magnitude at 5 ms" in page.text
    assert "Phase at 5 ms" in page.text
    assert "r2star, chi" in page.text
    assert "1 echo: needs two" in page.text


@pytest.mark.parametrize("case", ["nothing", "empty mask", "all NaN", "one slice", "no field strength"])
def test_odd_runs_have_a_report_too(tmp_path, case):
    maps = make(shape=(16, 16, 1) if case == "one slice" else (12, 14, 10))
    if case == "nothing":
        maps = make(artifacts={}, stages=(), missing={})
    elif case == "empty mask":
        maps.artifacts["mask"][:] = False
    elif case == "all NaN":
        maps.artifacts["chi"][:] = np.nan
    elif case == "one slice":
        maps.artifacts["mask"][2:9, 3:9] = True
    else:
        maps.scan = maps.scan.replace(b0_t=None, f0_hz=None)
    assert "sub-07" in written(tmp_path, maps).text


def test_little_memory_is_taken(tmp_path):
    maps = make(shape=(160, 160, 160))
    tracemalloc.start()
    write_report(tmp_path / "r.html", maps, ())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 160**3 * 4 / 2, f"{peak / 1e6:.0f} MB, as much as half of the four maps"


def test_it_works_in_a_browser(tmp_path):
    """Open a picture, go on by the keys, and read what the dialog says."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium; apt-get install chromium")
    path = tmp_path / "sub-07_report.html"
    write_report(path, make(), ())
    act = """<script>addEventListener("error", (e) => document.title = "error: " + e.message);
      addEventListener("load", () => {
        const key = (k) => viewer.dispatchEvent(new KeyboardEvent("keydown", {key: k}));
        document.querySelector(".tile").click(); key("ArrowRight"); key("ArrowDown");
        document.title = `open=${viewer.open} ${viewer.querySelector("p").textContent}`;
      })</script>"""
    path.write_text(path.read_text().replace("<body>", "<body>" + act))
    options = ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "dump-dom")
    options += (f"user-data-dir={tmp_path / 'profile'}", "virtual-time-budget=5000")
    command = [browser, *(f"--{option}" for option in options), path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    title = re.search("<title>(.*?)</title>", done.stdout)
    assert title, done.stderr[-2000:]
    assert title[1].startswith("open=true R2* · axial · z ")

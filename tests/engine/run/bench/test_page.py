"""The benchmark's page in a browser, and the quick benchmark as a whole."""

import csv
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from ferritin.registry import methods
from ferritin.run.bench.page import write_page

ACT = """
const all = (what) => document.querySelectorAll(what);
const count = (what) => all(what).length;
const first = () => document.querySelector("#task-dipole tbody tr").textContent;
all(".choices input")[0].click();
const before = first();
[...all("#task-dipole th button")].find((b) => b.textContent === "NRMSE").click();
const after = first();
const drawing = () => document.querySelector("#task-dipole .plot").outerHTML;
const overTime = drawing();
const choose = (i, value) => {
  all(".choices select")[i].value = value;
  all(".choices select")[i].dispatchEvent(new Event("change"));
};
choose(2, "fft_count");
const overFfts = drawing();
choose(3, "xsim_uniform5");
document.title = JSON.stringify({errors: complaints, turned: before !== after, redrawn: overTime !== overFfts,
  scales: document.querySelector("#task-dipole .scales").textContent,
  dots: count("#task-dipole .plot .dot"), sweeps: count(".small"), cards: count(".card"),
  pictures: count(".card img"), lines: count("#task-dipole tbody tr")});
"""
"""Sorts a table and changes cost and metric as a reader would, then tells in the title what it saw."""


def in_browser(page, folder, act="document.title = JSON.stringify({errors: complaints});"):
    """Open a page, run a script on it, and return the JSON it leaves in the title; no word in the console."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no chromium; apt-get install chromium")
    script = f"""<script>const complaints = []; addEventListener("error", (e) => complaints.push(e.message));
      addEventListener("load", () => {{ {act} }});</script>"""
    acted = folder / "acted.html"
    acted.write_text(page.read_text().replace("<body>", "<body>" + script))
    options = ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "dump-dom")
    options += (f"user-data-dir={folder / 'profile'}", "virtual-time-budget=5000", "enable-logging=stderr")
    done = subprocess.run(
        [browser, *(f"--{o}" for o in options), acted.as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    title = done.stdout.partition("<title>")[2].partition("</title>")[0]
    return json.loads(title.replace("&quot;", '"'))


def test_page_in_a_browser(rows, tmp_path):
    """No error in the console; the table sorts, the plots are drawn, the pictures are there."""
    out, found = rows
    write_page(tmp_path / "index.html", found, out)
    said = in_browser(tmp_path / "index.html", tmp_path, ACT)
    assert said["errors"] == []
    assert said["turned"]
    assert said["redrawn"]
    assert said["scales"].count("ppm") == 2
    assert said["dots"] == 3
    assert said["lines"] == 4
    assert said["sweeps"] == 1
    assert said["cards"] == 4  # the truth and one method, twice
    assert said["pictures"] == 2 * (2 + 2 + 4)  # views and colour scales of the truth, views and differences


def test_page_says_nothing_that_html_could_misread(rows, tmp_path):
    out, found = rows
    row = found[0] | {"method": "</script><b>&", "key": "none"}
    write_page(tmp_path / "p.html", [row], out)
    assert "</script><b>" not in (tmp_path / "p.html").read_text()


@pytest.mark.slow
def test_quick_benchmark(tmp_path):
    """Every method of five stages within 5 minutes on two cores, as a page without a complaint."""
    start = time.monotonic()
    words = [sys.executable, "-m", "ferritin.run.cli", "bench", "--quick", "-o", str(tmp_path / "out")]
    path = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(words, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - start < 300
    with open(tmp_path / "out/results.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert [r["method"] for r in rows if r["status"] != "ok"] == []
    names = {name for r in rows for name in r["method"].split("+")}
    assert {m.name for s in ("field", "background", "dipole", "r2star") for m in methods(s)} <= names
    assert in_browser(tmp_path / "out/index.html", tmp_path)["errors"] == []

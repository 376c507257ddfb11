"""`ferritin bench`: compare methods in time, memory and accuracy on heads with known truth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), default="bench-out", help="Folder of results and page.")
@click.option("--quick", is_flag=True, help="Every method once on a coarse head, within 5 minutes.")
@click.option("--plan", "plan_file", type=click.Path(path_type=Path), help="A plan in TOML; options below change it.")
@click.option("--task", multiple=True, help="field, background, dipole, background+dipole, chain, r2star. Repeatable.")
@click.option("--method", multiple=True, help="Only this method: tv, or dipole.tv. Repeatable.")
@click.option("--phantom", multiple=True, help="plain, lesions, or a folder with input/ and groundtruth/. Repeatable.")
@click.option("--voxel", type=float, help="Voxels of the phantoms [mm].")
@click.option("--device", multiple=True, help="cpu, cuda or cuda:N. Repeatable.")
@click.option("--repeats", type=int, help="Runs of each case; the median counts.")
@click.option("--sweep/--no-sweep", default=None, help="Vary each method's regularisation around its default.")
@click.option("--external", multiple=True, help="NAME:TASK:COMMAND, an outside program; see the guide. Repeatable.")
@click.option("--import", "imports", multiple=True, help="A module that registers methods of yours. Repeatable.")
@click.option("--timeout", type=float, help="Longest time of one case [s].")
@click.option("--list", "list_only", is_flag=True, help="Print the cases and run none.")
def command(
    out: Path, quick: bool, plan_file: Path | None, list_only: bool, sweep: bool | None, **options: Any
) -> None:
    """Run methods x phantoms x parameters x devices, each in a fresh process; write results.csv and index.html.

    What was run before in the same folder is kept, unless the method's source has changed.
    """
    from ferritin.backend import device_of
    from ferritin.errors import InputError
    from ferritin.run.bench.page import write_page
    from ferritin.run.bench.plan import FULL, QUICK, cases, changed, folders, load_imports, load_plan, make_datasets
    from ferritin.run.bench.run import kept_rows, run_cases, write_table

    plan = QUICK if quick else FULL
    plan = load_plan(plan_file, plan) if plan_file else plan
    names = {
        "task": "tasks", "method": "only", "phantom": "phantoms", "voxel": "voxel_mm", "device": "devices",
        "timeout": "timeout_s",
    }  # fmt: skip
    given = {names.get(k, k): v for k, v in options.items() if v not in (None, ())}
    if "devices" in given:
        given["devices"] = tuple(device_of(d) for d in given["devices"])
    if sweep is not None:
        given |= {"sweep": FULL.sweep} if sweep else {"sweep": (), "sweeps": {}}
    plan = changed(plan, given)
    load_imports(plan)
    todo = cases(plan, folders(plan, out))
    if list_only:
        for case in todo:
            click.echo(f"{case.task:18} {case.method:28} {Path(case.data).name:32} {case.parameters or ''}")
        return
    try:
        (out / "rows").mkdir(parents=True, exist_ok=True)  # before the heads, which take minutes
        make_datasets(plan, out, lambda line: click.echo(line, err=True))
        rows = run_cases(todo, out, plan.timeout_s, click.echo)
        kept = kept_rows(todo, out)
        write_table(rows + kept, out / "results.csv")
        write_page(out / "index.html", rows + kept, out)
    except OSError as why:
        raise InputError(f"{out} cannot be written ({why}); give another folder with -o, or make room") from why
    failed = sum(row["status"] != "ok" for row in rows)
    before = f" and {len(kept)} from before" if kept else ""
    click.echo(f"{len(rows)} cases, {failed} without a result{before}; {out / 'results.csv'}, {out / 'index.html'}")

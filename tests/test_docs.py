"""The guides do what they say: their blocks are run as written."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from src.experiments.plan import build_steps
from src.experiments.run import compose_experiment
from tests.pipeline import ROOT, compose_config


def blocks(page):
    """The shell blocks of a page, in order."""
    return re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)


@pytest.mark.slow
def test_the_guide_to_a_new_dataset_runs_as_written(tmp_path):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "src").symlink_to(ROOT / "src")
    for script in ROOT.glob("main_*.py"):
        shutil.copy(script, tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    answer = subprocess.run(
        ["bash", "-euo", "pipefail"],
        input="\n".join(blocks("new_dataset.md")),
        env=os.environ | {"PATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert answer.returncode == 0, answer.stderr
    assert "with_unknown_labels: 20" in answer.stdout
    prepared = tmp_path / "outputs" / "mine" / "prepared"
    assert json.loads((prepared / "report.json").read_text())["statistics"]["images"] == 600
    assert json.loads((prepared / "manifest.json").read_text())["split"] == "time"
    tables = list((tmp_path / "outputs" / "mine" / "evaluation").glob("*.md"))
    assert tables
    assert all("(one fold, split by time" in table.read_text() for table in tables)
    assert all(method in tables[0].read_text() for method in ("image_only", "cf_distill"))


def test_links_between_pages_lead_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "data").glob("*/*.md")]:
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_pages_have_no_gap_that_was_to_be_filled():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        assert not re.findall(r"@@|TODO|TBD|XXX", page.read_text()), page.name


COMMAND = re.compile(r"^python main_(\w+)\.py (.*?)(?:\s+#.*)?$", re.MULTILINE)


PAGES = sorted(path.name for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page != "new_dataset.md"])
def test_documented_commands_have_settings_that_exist(page):
    path = ROOT / page if (ROOT / page).is_file() else ROOT / "docs" / page
    text = "\n".join(re.findall(r"```bash\n(.*?)```", path.read_text(), flags=re.DOTALL)).replace("\\\n", " ")
    for stage, arguments in COMMAND.findall(text):
        words = [word for word in shlex.split(arguments) if not word.startswith("-")]
        words = ["dataset=emoji" if word in ("dataset=...", "dataset=popularity") else word for word in words]
        if stage == "run_experiment":
            cfg, overrides = compose_experiment(words)
            assert build_steps(cfg, overrides)
        else:
            compose_config(stage, *words)

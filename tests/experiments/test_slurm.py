"""Runs on a Slurm cluster, without one: stand-ins for sbatch, srun and sacct take and run what submitit generates."""

import os
import subprocess
import sys

import pytest

from tests.pipeline import ROOT

SBATCH = """#!/bin/bash
cp "$1" "$RECORD"
last=$(sed -nE 's/^#SBATCH --array=0-([0-9]+).*/\\1/p' "$1")
for task in $(seq 0 "$last"); do
  SLURM_JOB_ID=7 SLURM_ARRAY_JOB_ID=7 SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 SLURM_PROCID=0 SLURM_LOCALID=0 \\
  SLURM_NODEID=0 SLURM_JOB_NUM_NODES=1 SLURM_NNODES=1 SLURM_JOB_NODELIST=localhost bash "$1" > /dev/null 2>&1 &
done
echo "Submitted batch job 7"
"""
SRUN = """#!/bin/bash
while [[ "$1" == -* ]]; do
  case "$1" in --output | --error) shift 2 ;; *) shift ;; esac
done
exec "$@"
"""
SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
for task in 0 1; do
  pgrep -f "submitit.core._submit" > /dev/null && state=RUNNING || state=COMPLETED
  echo "7_$task|$state|localhost"
done
"""


@pytest.mark.slow
def test_a_sweep_becomes_one_job_array_whose_tasks_train(pipeline, tmp_path):
    stubs = tmp_path / "bin"
    stubs.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT}.items():
        (stubs / name).write_text(text)
        (stubs / name).chmod(0o755)
    record = tmp_path / "job.sh"
    environment = os.environ | {"PATH": f"{stubs}:{os.environ['PATH']}", "RECORD": str(record), "OMP_NUM_THREADS": "1"}
    launcher = (
        "hydra/launcher=submitit_slurm",
        *(
            f"hydra.launcher.{name}"
            for name in ("partition=gpu", "gpus_per_node=2", "cpus_per_task=8", "timeout_min=90")
        ),
    )
    command = [
        *(sys.executable, str(ROOT / "main_train_classifier.py"), "--multirun", "seed=1,2", "recommender_seed=0"),
        *(*pipeline.overrides("train_classifier"), *launcher),
    ]
    answer = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr[-3000:]
    job = record.read_text()
    for wanted in ("--array=0-1", "--partition=gpu", "--gpus-per-node=2", "--cpus-per-task=8", "--time=90"):
        assert f"#SBATCH {wanted}" in job
    assert "submitit.core._submit" in job
    finished = [run for run in pipeline.runs("image_only") if (run / "manifest.json").is_file()]
    assert sorted(run.name.split("-")[3] for run in finished) == ["seed1", "seed2"]

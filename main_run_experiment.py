"""One table or figure with one command: python main_run_experiment.py experiment=table5 dataset=emoji [--dry-run].

Trains what is missing, continues what was cut off, skips what is finished, then prints the comparison.
"""

import argparse
import logging
import sys

from src.config.setting import help_text
from src.config.stages import ExperimentConfig
from src.entry import report_errors, stand_in_project
from src.experiments.overrides import sort_overrides


def main() -> None:
    """Compose the experiment, show or run its cells; exit status 1 if a cell failed."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"Lists of an experiment:\n{help_text(ExperimentConfig)}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "overrides",
        nargs="+",
        metavar="KEY=VALUE",
        help="experiment=..., its lists (folds=[0,1] methods=[image_only,mtl_loss]), and any setting of the stages "
        "(image_size=64 backbone=resnet18 hydra/launcher=joblib hydra.launcher.n_jobs=2)",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="show the cells and how long they will take; run nothing"
    )
    arguments = parser.parse_intermixed_args()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stdout)
    stand_in_project()
    with report_errors():
        sort_overrides(arguments.overrides)  # a mistyped one is answered before anything heavy is imported
        from src.experiments.run import run_experiment

        sys.exit(run_experiment(arguments.overrides, dry_run=arguments.dry_run))


if __name__ == "__main__":
    main()

"""Run every benchmark and print one page of results."""

from __future__ import annotations

import argparse
import platform

from benchmarks import datasets, engine, imports, journal, local_training, run

QUESTIONS = {
    "imports": imports.main,
    "engine": engine.main,
    "journal": journal.main,
    "run": run.main,
    "local_training": local_training.main,
    "datasets": datasets.main,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("question", nargs="*", choices=[[], *QUESTIONS], help="all of them when left out")
    chosen = parser.parse_args().question or list(QUESTIONS)
    print(f"Python {platform.python_version()} on {platform.machine()}, {platform.system()}")
    for name in chosen:
        print(f"\n## {name}\n")
        QUESTIONS[name]()


if __name__ == "__main__":
    main()

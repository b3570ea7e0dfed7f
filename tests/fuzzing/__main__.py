"""Let atheris look for files that break the readers: `nox -s fuzz -- --target=read --suffix=.jsonl --seconds=60`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris  # type: ignore[import-not-found]

with atheris.instrument_imports(include=["qianfan.dataset"]):
    from tests.fuzzing.targets import KNOWN, SUFFIXES, TARGETS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", choices=TARGETS, default="read")
    parser.add_argument("--suffix", choices=SUFFIXES, default=".jsonl")
    parser.add_argument("--seconds", type=int, default=60)
    chosen = parser.parse_args()
    target = TARGETS[chosen.target]
    with TemporaryDirectory() as corpus:
        for number, content in enumerate(KNOWN):
            Path(corpus, str(number)).write_bytes(content)
        atheris.Setup(
            [sys.argv[0], f"-max_total_time={chosen.seconds}", "-timeout=20", "-rss_limit_mb=2048", corpus],
            lambda content: target(content, chosen.suffix),
        )
        atheris.Fuzz()


main()

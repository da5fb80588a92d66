"""``python -m tests.bench.deid.midib [--patients 12] [--profile mira] [--out DIR]``: our MIDI-B style score.

Prints checks passed and failed per action kind and per cause, then examples of failures by place. ``--out`` writes the
archive, the outputs and the answers (``answers.csv``), so that another tool can be scored on the same files.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from collections import Counter
from dataclasses import astuple
from pathlib import Path

from curate.deid import Keyed, Profile, deidentify_bytes, load_profile
from curate.errors import CurateError
from tests.bench.deid.midib_archive import Archive, make_archive
from tests.bench.deid.midib_score import print_score, score_outputs

KEY = bytes(range(11, 43))


def run_engine(archive: Archive, profile: Profile) -> tuple[dict[int, bytes], Counter[str]]:
    """Outputs by number of the source, and why the others were refused, by base."""
    outputs: dict[int, bytes] = {}
    refused = Counter[str]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for source in archive.sources:
            try:
                done = deidentify_bytes(source.raw, profile, Keyed(KEY), site=source.site)
            except CurateError as error:
                refused[f"{source.base}: {error}"] += 1
            else:
                outputs[source.number] = done.content
    return outputs, refused


def write(archive: Archive, outputs: dict[int, bytes], folder: Path) -> None:
    """Sources, outputs and answers as files."""
    for name in ("sources", "outputs"):
        (folder / name).mkdir(parents=True)
    for source in archive.sources:
        (folder / "sources" / f"{source.number:06d}.dcm").write_bytes(source.raw)
    for number, content in outputs.items():
        (folder / "outputs" / f"{number:06d}.dcm").write_bytes(content)
    with (folder / "answers.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("source", "kind", "cause", "path", "expected"))
        writer.writerows(astuple(answer) for answer in archive.answers)


def main() -> None:
    """Read arguments, build, run, score, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--profile", default="mira")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-pixels", action="store_true", help="leave out objects with burned-in text")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    archive = make_archive(patients=arguments.patients, seed=arguments.seed, pixels=not arguments.no_pixels)
    started = time.process_time()
    outputs, refused = run_engine(archive, load_profile(arguments.profile))
    print(f"{len(archive.sources)} objects, {len(archive.answers)} checks, {time.process_time() - started:.1f} CPU s")
    score = score_outputs(archive, outputs)
    print_score(score)
    for why, count in sorted(refused.items()):
        print(f"refused {count:>5}  {why}")
    places = Counter((answer.kind, answer.path, _base(archive, answer.source)) for answer in score.failures)
    for (kind, path, base), count in places.most_common(40):
        print(f"failed  {count:>5}  {kind:18}{path:30}{base}")
    if arguments.out:
        write(archive, outputs, arguments.out)


def _base(archive: Archive, number: int) -> str:
    return archive.sources[number].base


if __name__ == "__main__":
    main()

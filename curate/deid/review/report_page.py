"""The report of a folder as one HTML file, without script or network: to read, to print, to keep."""

from __future__ import annotations

import html
from collections.abc import Iterable

from curate.deid.options import OPTIONS
from curate.deid.records.statement import residual_risk
from curate.deid.review.pages import count, fill_page, markup_table, table
from curate.deid.review.report import NOT_DICOM, QUARANTINED, REJECTED, Apart, Check, FolderReport, Marks, next_step

_OUTCOMES = {QUARANTINED: "kept back", REJECTED: "not usable", NOT_DICOM: "not DICOM"}
_MOST_DETAILS = 8
_BASIC = "113100"
_ALWAYS = (
    ("who the patient is", "Name and patient ID are replaced by one pseudonym, the same in every file of the patient."),
    (
        "study, series and image numbers (UIDs)",
        "Replaced by new ones under the key; files that refer to each other still do.",
    ),
    ("accession numbers", "Replaced by a token under the key."),
    (
        "other people, hospitals, addresses, contacts, comments",
        "Removed, emptied or replaced as Table E.1-1 of the standard says, at every depth of every file.",
    ),
    ("what the standard does not know", "Removed: a rule must speak for an attribute, or it goes."),
)
_PLAIN_ACTIONS = {
    "removed": "attributes removed",
    "unknown removed": "attributes removed that no dictionary knows",
    "emptied": "attributes emptied",
    "replaced by a dummy": "values replaced by a meaningless one",
    "patient key": "patient names and IDs replaced by the pseudonym",
    "uid mapped": "UIDs replaced",
    "token": "accession numbers replaced by a token",
    "date shifted": "dates and times moved with the patient's offset",
    "age capped": "ages kept, at most 90 years",
    "text cleaned": "texts kept after a search for what identifies",
    "words taken out of text": "texts that lost words",
    "identifier found in kept text": "texts removed because they named a person of their own file",
    "did not fit its rule": "values removed because they were not what they should be",
    "kept": "attributes kept",
    "sequence entered": "lists of attributes gone through",
}


def render_report(report: FolderReport) -> bytes:
    """UTF-8 HTML; equal reports give equal bytes."""
    verdict_class, verdict, more = _verdict(report)
    parts = {
        "title": html.escape(_title(report)),
        "lede": html.escape(_lede(report)),
        "verdict_class": verdict_class,
        "verdict": html.escape(verdict),
        "verdict_more": html.escape(more),
        "cards": _cards(report),
        "next": _next(report),
        "done": _done(report),
        "holds": _holds(report),
        "apart": _apart(report.apart),
        "marks": _marks(report.marks),
        "pixels": f"<p>{html.escape(_pixels(report))}</p>",
        "private": _private(report),
        "risk": _list(residual_risk(code for code, _ in report.statement.options)),
        "check": _check(report.check),
        "record": _record(report),
    }
    return fill_page("report", parts)


def _title(report: FolderReport) -> str:
    if not report.done:
        return "No file could be de-identified"
    return f"{count(report.done, 'file')} of {report.files:,} {'is' if report.done == 1 else 'are'} de-identified"


def _lede(report: FolderReport) -> str:
    rest = report.files - report.done
    people = (
        f" They belong to {count(report.patients, 'patient')} and {count(report.studies, 'study', 'studies')}."
        if report.done
        else ""
    )
    left = (
        "Every file that was found is in the output."
        if not rest
        else (f"{count(rest, 'file')} {'is' if rest == 1 else 'are'} not in the output; each has a reason, below.")
    )
    return f"{left}{people} The files that were given were only read; none of them was changed."


def _verdict(report: FolderReport) -> tuple[str, str, str]:
    check = report.check
    if check is None:
        return "open", "Not checked yet.", "Run without --no-verify before you hand anything on."
    if not check.passed:
        broken = sum(number for _, _, number in check.broken)
        return "bad", f"Do not hand this on: the check found {count(broken, 'fault')}.", "See the check, below."
    if not report.done:
        return "open", "There is nothing to hand on.", "See why each file was left out, below."
    return (
        "good",
        "Checked, and nothing was found.",
        "A second program, which shares no code with the first, compared every file with its source and searched "
        "everything for what identifies.",
    )


def _cards(report: FolderReport) -> str:
    cards = (
        ("", "files found", report.files, "in everything that was named"),
        ("done", "de-identified", report.done, "in the folder dicom"),
        (
            "alarm" if report.count(QUARANTINED) else "",
            "kept back",
            report.count(QUARANTINED),
            "could not be shown to be clean",
        ),
        ("", "not usable", report.count(REJECTED), "broken, copies, or without pictures"),
        ("", "not DICOM", report.count(NOT_DICOM), "never copied"),
    )
    return "".join(
        f'<div class="card {kind}"><dt>{name}</dt><dd>{number:,}</dd><p>{more}</p></div>'
        for kind, name, number, more in cards
    )


def _next(report: FolderReport) -> str:
    steps = []
    if report.check is not None and not report.check.passed:
        steps.append(
            "Do not hand anything on. Give <code>verification.json</code> to those who maintain this program: it names "
            "files of the output and rules, and no value."
        )
    if report.count(QUARANTINED) or report.count(REJECTED):
        steps.append(
            "Read below why files are not in the output. Which files these are stands in <code>quarantined.csv</code>, "
            "in the folder beside the output whose name ends in <code>.private</code>."
        )
    steps.append(
        "Open <code>values.html</code> in that private folder with a browser. It shows every text that was met, each "
        "once, and what became of it. Mark what is wrong, save, and run again with <code>--decisions</code>."
    )
    if report.check is None:
        steps.append("Run the same command again without <code>--no-verify</code>.")
    if report.done and report.check is not None and report.check.passed:
        steps.append("Look at some of the images yourself: no program sees everything that is written in a picture.")
        steps.append(
            "Give the output folder to your privacy officer: the images, this report, <code>verification.json</code> "
            "and <code>audit.parquet</code>. Keep the private folder and the key inside the hospital."
        )
    return f"<ol>{''.join(f'<li>{step}</li>' for step in steps)}</ol>"


def _done(report: FolderReport) -> str:
    statement = report.statement
    effects = {option.code: option.effect for option in OPTIONS.values()}
    chosen = [
        (f"{meaning} ({code})", f"{effects[code][:1].upper()}{effects[code][1:]}.")
        for code, meaning in statement.options
        if code != _BASIC
    ]
    lead = (
        f"<p>The rules are those of the international standard for medical images, DICOM PS3.15 Table E.1-1 of edition "
        f"{html.escape(statement.edition)}, in the ready set <code>{html.escape(statement.profile)}</code>.</p>"
    )
    return (
        lead
        + _pairs(("what", "what was done with it"), _ALWAYS)
        + "<p>Besides, these options of the standard were chosen:</p>"
        + _pairs(("option (code)", "what it means here"), chosen)
        + _overrides(report)
        + _actions(report)
    )


def _overrides(report: FolderReport) -> str:
    if not report.statement.overrides:
        return ""
    return "<p>Your site decided otherwise about these attributes:</p>" + _pairs(
        ("attribute", "decision"), report.statement.overrides
    )


def _actions(report: FolderReport) -> str:
    rows = [(_PLAIN_ACTIONS.get(what, what), f"{number:,}") for what, number in report.statement.actions]
    counted = table(("what was done, in all files together", "times"), rows)
    return f"<details><summary>How often each thing was done</summary>{counted}</details>"


def _holds(report: FolderReport) -> str:
    if not report.done:
        return "<p>Nothing.</p>"
    said = (
        f"<p>{count(report.patients, 'patient')}, {count(report.studies, 'study', 'studies')}, {report.series:,} "
        "series. Folders and files are named by pseudonyms: <code>dicom/PATIENT/STUDY/SERIES/IMAGE.dcm</code>.</p>"
    )
    return said + table(("kind of object", "files"), [(name, f"{number:,}") for name, number in report.kinds])


def _apart(apart: Iterable[Apart]) -> str:
    rows = [
        (
            _OUTCOMES[each.outcome],
            html.escape(each.reason.text) + f'<p class="small"><code>{each.reason.value}</code>{_details(each)}</p>',
            _code_options(html.escape(next_step(each.reason))),
            f"{each.files:,}",
        )
        for each in apart
    ]
    if not rows:
        return "<p>None: every file is in the output.</p>"
    said = (
        "<p><b>Kept back</b>: the file is sound, but nobody can be sure that nothing in it identifies. <b>Not "
        "usable</b>: broken, empty, or there twice. <b>Not DICOM</b>: something else that lay in the folder.</p>"
    )
    return f'{said}<div class="apart">{markup_table(("", "why", "what to do", "files"), rows)}</div>'


def _code_options(text: str) -> str:
    """Options of the command line in the type of commands."""
    for option in ("--allow secondary_capture", "--option clean_structured_content", "chmod u+r"):
        text = text.replace(option, f"<code>{option}</code>")
    return text


def _details(each: Apart) -> str:
    shown = [f"{html.escape(detail)}: {number:,}" for detail, number in each.details[:_MOST_DETAILS]]
    more = len(each.details) - len(shown)
    return " " + "; ".join([*shown, *([f"and {more} more"] if more else [])]) if shown else ""


def _marks(marks: Marks | None) -> str:
    if marks is None:
        return ""
    unused = marks.given - marks.met
    said = (
        f"{count(marks.given, 'mark')} {'was' if marks.given == 1 else 'were'} given; {marks.met:,} of them speak of a "
        "text that some file holds. "
    )
    said += (
        "All were used."
        if not unused
        else (f"{unused:,} met no file: made for other files, perhaps; see unused-marks.csv in the private folder.")
    )
    rows = [
        ("keep", "kept as they are, except where a text names a person of its own file", f"{marks.kept:,}"),
        ("clean", "kept without the words that identify", f"{marks.cleaned:,}"),
        ("remove", "taken out", f"{marks.removed:,}"),
    ]
    body = table(("mark", "what became of the texts", "places in files"), rows)
    return f"<section><h2>Texts that you decided about</h2><p>{html.escape(said)}</p>{body}</section>"


def _pixels(report: FolderReport) -> str:
    counts = dict(report.statement.actions)
    searched = counts.get("pixels: frames searched for text", 0)
    looked = (
        f"{count(searched, 'picture')} {'was' if searched == 1 else 'were'} searched for text, because something in "
        "the header gave cause. "
        if searched
        else "No header of these files gave cause to search a picture for text. "
    )
    files = report.statement.blanked_files
    blanked = (
        f"In {count(files, 'file')} {count(report.blanked_boxes, 'rectangle')} with text "
        f"{'was' if report.blanked_boxes == 1 else 'were'} made black; where, stands in audit.parquet."
        if files
        else "Nothing was made black."
    )
    return looked + blanked


def _private(report: FolderReport) -> str:
    dropped = report.statement.private_dropped
    if not dropped:
        return "<p>None were met.</p>"
    said = "<p>Makers of equipment add attributes of their own. What no list calls safe was taken out:</p>"
    return said + table(("creator", "attributes, in all files together"), [(name, f"{n:,}") for name, n in dropped])


def _check(check: Check | None) -> str:
    if check is None:
        return "<p>It was not run.</p>"
    said = (
        "<p>It reads every file with another reader, holds every attribute against its own copy of the rules, compares "
        "pictures, dates and references with the source, and searches every byte for names, numbers and dates that the "
        "source holds. All of it stands in <code>verification.json</code>.</p>"
    )
    found = (
        "<p>Nothing is wrong.</p>"
        if check.passed
        else table(
            ("rule that was broken", "what it means", "times"), [(r, text, f"{n:,}") for r, text, n in check.broken]
        )
    )
    counts = table(("what was looked at", "number"), [(name, f"{number:,}") for name, number in check.counts])
    notes = f"<h3>To know besides</h3>{_list(check.notes)}" if check.notes else ""
    return said + found + counts + notes


def _record(report: FolderReport) -> str:
    statement = report.statement
    rows = [
        ("profile", statement.profile),
        ("rules", f"DICOM PS3.15 Table E.1-1, edition {statement.edition}"),
        ("codes (CID 7050)", ", ".join(code for code, _ in statement.options)),
        ("fingerprint of the key", statement.key_fingerprint),
        ("last entry of the audit chain", statement.audit_head),
    ]
    body = "".join(f"<tr><th>{name}</th><td><code>{html.escape(value)}</code></td></tr>" for name, value in rows)
    return (
        f"<table><tbody>{body}</tbody></table><p class='soft'><code>audit.parquet</code> has a row for each file of "
        "the output. The rows are chained: one that is changed or taken out breaks every entry after it.</p>"
    )


def _pairs(columns: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td>{html.escape(a)}</td><td>{html.escape(b)}</td></tr>" for a, b in rows)
    return f"<table><thead><tr><th>{columns[0]}</th><th>{columns[1]}</th></tr></thead><tbody>{body}</tbody></table>"


def _list(texts: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{html.escape(text)}</li>' for text in texts)}</ul>"

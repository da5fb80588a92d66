"""A second reader of what was de-identified: it shares no tables, no parser and no scanner with the writer.

Shared with ``curate.deid`` is the loading of the key alone; with the rest of ``curate``, errors and the opening of
archives (``SourceReader``). The parser is its own, written from PS3.5 (``parsing``); GDCM gives the VRs that a file
does not, and reads the first object of every series and every suspect one again (``reading``, ``cross``). The rules
are the standard's in a copy of their own (``standard``, ``judge``, ``forms``, ``labels``), UIDs are derived a second
time (``derive``), what identifies is collected from the source (``words``) and searched everywhere (``search``,
``texts``), pixels are compared (``pixels``), files with each other (``relations``), and ``dciodvfy`` says whether
objects are still valid (``validity``). ``verify_tree`` does it all in processes that may die (``tasks``, ``crew``,
``workers``); ``check_pair`` and ``check_output`` one object.
"""

from __future__ import annotations

from curate.deid.verification.findings import Finding, Rule
from curate.deid.verification.pair import Checked, check_output, check_pair
from curate.deid.verification.report import Report
from curate.deid.verification.tree import verify_tree

__all__ = ["Checked", "Finding", "Report", "Rule", "check_output", "check_pair", "verify_tree"]

"""De-identification by PS3.15 Annex E: keyed, table-driven, on raw elements, refusing what it cannot show to be clean.

How it works, in reading order: ``tables`` (the standard's tables as data) -> ``profile`` (options compiled into one
rule a tag, once per SOP class) -> ``filemeta`` and ``elements`` (strict walk over the bytes) -> ``header`` (what is
let in) -> ``walk`` (rules applied, sequences entered, identifiers noted) -> ``engine`` (both passes, pixels,
statement, audit). ``pseudonyms`` and ``keys`` rename; ``leaks`` searches what was written and ``verification`` judges
it. The rule for what nobody has thought of is removal for an attribute, quarantine for an object.
"""

from __future__ import annotations

from curate.deid.engine import Deidentified, deidentify_bytes
from curate.deid.files import deidentify_file
from curate.deid.identifiers import Identifier
from curate.deid.keys import load_key, make_pseudonyms
from curate.deid.profile import Profile, load_profile
from curate.deid.pseudonyms import Keyed, Pseudonyms, PublicIds
from curate.deid.records.audit import FileAudit

__all__ = [
    "Deidentified",
    "FileAudit",
    "Identifier",
    "Keyed",
    "Profile",
    "Pseudonyms",
    "PublicIds",
    "deidentify_bytes",
    "deidentify_file",
    "load_key",
    "load_profile",
    "make_pseudonyms",
]

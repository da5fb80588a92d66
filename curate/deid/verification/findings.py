"""What the verifier says: findings (wrong), notes (for a person to weigh), each without any value of the data."""

from __future__ import annotations

from dataclasses import dataclass

from curate.worded import Worded


class Rule(Worded):
    """What was broken; ``.text`` is its line of English."""

    UNREADABLE = "unreadable", "The file breaks the rules of the encoding, or is not what its name says."
    READERS = "readers_disagree", "GDCM reads something else in the file than the verifier's own parser does."
    CRASHED = "reader_crashed", "A reader crashed or did not finish on the file, twice: nothing of it is verified."
    PREAMBLE = "preamble", "The 128 bytes before DICM are not zero."
    FILE_META = "file_meta", "The file meta information holds more than a rebuilt one needs, or another UID."
    TRAILING = "trailing_bytes", "Bytes follow the pixel data, or elements that have no business there."
    STATEMENT = "statement", "The object does not state how it was de-identified, or not as expected."
    MUST_GO = "must_be_removed", "Table E.1-1 removes it and no stated option keeps it."
    NOT_EMPTIED = "must_be_replaced", "It must be empty or a dummy, and is neither."
    KEPT_UID = "uid_not_mapped", "A UID of the source, or one that is not of the project's form."
    WRONG_UID = "uid_not_of_this_key", "The UID is not the one that the key makes of the source's."
    DATE = "date_not_shifted", "A date, time or interval that does not follow the patient's one offset."
    AGE = "age_not_capped", "An age over 89 years that is not 090Y."
    PERSON = "person_name", "A name of a person."
    PRIVATE = "private", "A private attribute that is not in Table E.3.10-1, or not of its form."
    GRAPHICS = "overlay_or_curve", "An overlay or curve."
    CONTENT_ITEM = "content_item", "Table E.3.4-1 removes the content item and no stated option keeps it."
    CHANGED = "changed", "A value that no rule changes differs from the source's."
    INVENTED = "invented", "An attribute that the source does not have and no rule adds."
    NUMBER = "text_in_number", "Letters where numbers or codes belong."
    TEXT = "identifying_text", "Kept text with an address, a phone number, an e-mail address or a link."
    LEAK = "leak", "Something known to identify the patient or a person of the source."
    PIXELS = "pixels", "Pixels differ from the source's and no statement says so."
    PATIENT = "patient_map", "Two patients became one, or one became two."
    UID_MAP = "uid_map", "Two UIDs became one, or one became two."
    REFERENCE = "reference", "A reference that resolves in the source does not in the output, or the reverse."
    ORPHAN = "no_source", "No object of the source becomes this one: it comes from elsewhere, or the key is another."
    REPEATED = "repeated", "Two files of the output are the same instance."
    VALIDITY = "validity", "dciodvfy reports a kind of error that the source does not have."
    NAME = "file_name", "The name of a file or folder holds an identifier."


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One broken rule. ``file``: path in the output, or a number where the path itself identifies."""

    file: str
    rule: Rule
    where: str = ""  # path of the element
    detail: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (f"{self.file}: {self.rule.value}", self.where, self.detail) if part)

"""Planting what identifies a patient: in plain elements, sequences, private text, file meta and the preamble.

Every string planted is named with its place, so that a test can ask whether any of it survived.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from curate.phantoms.people import Person


@dataclass(frozen=True, slots=True)
class Planted:
    """A string that must be in no output. ``place``: (gggg,eeee), ``>`` into a sequence; or preamble, or path."""

    place: str
    kind: str  # name | id | date | uid | accession | text | phone | address | institution | path
    value: str


def plant(header: Dataset, person: Person) -> None:
    """Fill elements that real headers have and that give a patient away; changes ``header``."""
    family = person.name.partition("^")[0].upper()
    seen = f"{person.study_date[:4]}-{person.study_date[4:6]}-{person.study_date[6:]}"
    header.IssuerOfPatientID = person.institution
    header.OtherPatientIDs = [person.other_id, person.patient_id]
    header.PatientAddress, header.PatientTelephoneNumbers = person.street, person.phone
    header.PatientMotherBirthName = f"{person.physician.partition('^')[0]}^Wilhelmina"
    header.PatientComments = f"{family} attends with a neighbour, reachable on {person.phone}"
    header.PerformingPhysicianName = [person.physician, person.operator]
    header.OperatorsName, header.PhysiciansOfRecord = person.operator, person.physician
    header.InstitutionName, header.InstitutionAddress = person.institution, person.street
    header.InstitutionalDepartmentName, header.StationName = f"{person.institution} Radiology", f"{family[:10]}_CT1"
    header.AdmissionID = person.other_id
    header.StudyDescription = f"{header.get('StudyDescription', '')} {family}".strip()
    header.ImageComments = f"compared with {seen}, see {person.accession}"
    header.PatientBirthTime, header.AdmittingDate = "0412", person.study_date
    header.ReferencedImageSequence = Items([_referenced(str(header.StudyInstanceUID) + ".9")])
    header.RequestAttributesSequence = Items([_request(person, family)])
    header.OtherPatientIDsSequence = Items([_other_id(person)])
    for frame in header.get("PerFrameFunctionalGroupsSequence", ()):
        frame.FrameContentSequence[0].FrameComments = f"{family} breathed"
    block = header.private_block(0x0011, "PHANTOM REGISTRY", create=True)
    block.add_new(0x01, "PN", person.name)
    block.add_new(0x02, "LT", f"{family} {person.birth_date} {person.phone}")
    nested = Dataset()
    nested.PatientName, nested.PatientBirthDate = person.name, person.birth_date
    block.add_new(0x03, "SQ", Items([nested]))


def preamble(person: Person) -> bytes:
    """128 bytes that carry the patient's name, as some converters leave them."""
    return person.name.encode("latin-1", "replace")[:100].ljust(128, b"\0")


def list_planted(header: Dataset, person: Person) -> list[Planted]:
    """Every planted string of a header, each place once, and the parts of them that identify alone."""
    found = [Planted("preamble", "name", _latin(person.name)), Planted("(0002,0016)", "text", workstation(person))]
    for place, vr, value in _strings(header, ""):
        kind = _kind(place, vr, value, person)
        if kind:
            found.append(Planted(place, kind, value))
    family, _, given = person.name.partition("^")
    found += [Planted("(0010,0010)", "name", part) for part in (family, given)]
    return list(dict.fromkeys(found))


def workstation(person: Person) -> str:
    """The application entity title of the sender: at most 16 characters, with a name in it."""
    ascii_name = person.operator.partition("^")[0].upper().encode("ascii", "ignore").decode()
    return f"WS_{ascii_name}"[:16]


def _referenced(instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    item.ReferencedSOPInstanceUID = instance[:64]
    return item


def _request(person: Person, family: str) -> Dataset:
    item = Dataset()
    item.ScheduledProcedureStepDescription = f"SPINE {family} URGENT"
    item.RequestedProcedureID, item.AccessionNumber = f"RP{person.accession[3:]}", person.accession
    item.RequestingPhysician, item.ScheduledProcedureStepStartDate = person.physician, person.study_date
    return item


def _other_id(person: Person) -> Dataset:
    item = Dataset()
    item.PatientID, item.TypeOfPatientID, item.IssuerOfPatientID = person.other_id, "TEXT", person.institution
    return item


def _strings(header: Dataset, above: str) -> Iterator[tuple[str, str, str]]:
    for element in header:
        place = f"{above}({element.tag.group:04X},{element.tag.element:04X})"
        if element.VR == "SQ":
            for item in element.value:
                yield from _strings(item, f"{place}>")
        elif element.VR in ("PN", "LO", "SH", "LT", "ST", "UT", "DA", "UI", "CS", "AE"):
            values = element.value if element.VM > 1 else [element.value]
            yield from ((place, element.VR, str(value)) for value in values if str(value))


def _kind(place: str, vr: str, value: str, person: Person) -> str | None:
    known = {
        person.patient_id: "id",
        person.other_id: "id",
        person.accession: "accession",
        f"RP{person.accession[3:]}": "accession",
        person.phone: "phone",
        person.street: "address",
        person.institution: "institution",
    }
    if value in known:
        return known[value]
    if vr == "PN":
        return "name"
    if vr == "DA":
        return "date"
    if vr == "UI":
        return None if value.startswith("1.2.840.10008.") else "uid"
    family = person.name.partition("^")[0].upper()
    if family[:10] in value or person.accession in value or person.institution in value:
        return "text"
    return None


def _latin(name: str) -> str:
    return name.encode("latin-1", "replace")[:100].decode("latin-1")

"""The domain library: plain functions and frozen records for DICOM, de-identification, geometry, volumes and labels.

Knows nothing of where it runs: no Ray, no scheduler; torch only inside ``loading/``.
"""

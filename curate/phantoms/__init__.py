"""Synthetic multi-site archives of spine studies with planted truth: anatomy, labels, identifiers and defects."""

from curate.phantoms.make import PhantomSummary, make_phantoms

__all__ = ["PhantomSummary", "make_phantoms"]

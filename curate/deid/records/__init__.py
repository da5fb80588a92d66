"""What stays of the work: audit of each file and its chain, statement of a release, anonymity, crosswalk."""

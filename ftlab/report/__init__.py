"""Report: what came out of a run, as a page that opens anywhere."""

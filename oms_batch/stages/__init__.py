"""One handler per kind of stage: what happens, in order."""

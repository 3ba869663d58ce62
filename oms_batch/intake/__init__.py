"""FILE -> REGISTER: names, headers, structural findings, control totals."""

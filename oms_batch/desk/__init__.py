"""The MO between answers: refused accounts, corrections, next register, invoices."""

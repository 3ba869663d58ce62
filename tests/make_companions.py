"""Write tests/companions.csv: the codes that come when a register has one defect of one official check.

``python -m tests.make_companions`` judges the planted registers of test_one_of_each; look at what changed
before it is kept.
"""

from __future__ import annotations

from oms_batch.exchange import load_profile
from tests import test_one_of_each as test

HEAD = """\
# origin: written by python -m tests.make_companions out of judging; each line was looked at
# Codes that come when only the check of ``code`` was broken. Without the code itself: reading tells it first:
# S.00.0010 what is required, S.00.0070 the values of a list (see also NOT_IN_A_FILE of the test).
profile;code;with
"""


def main() -> None:
    """Judge the planted registers of each exchange; lines of checks that come out alone are left away."""
    lines = []
    for name in test.EXCHANGES:
        told = test.all_told(load_profile(name, test.RULES))
        lines += [
            f"{name};{code};{' '.join(sorted(codes))}\n" for code, codes in sorted(told.items()) if codes != {code}
        ]
    test.COMPANIONS.write_text(HEAD + "".join(lines), "utf-8")


if __name__ == "__main__":
    main()

"""``make bench``: the fund's stage in ratios to xmllint of the same run. It prints; it asserts nothing."""

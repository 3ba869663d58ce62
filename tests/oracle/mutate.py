"""All the changes by name."""

from __future__ import annotations

from tests.oracle import change_elements, change_markup, change_values
from tests.oracle.scene import CHANGES, spoil

__all__ = ["CHANGES", "change_elements", "change_markup", "change_values", "spoil"]

"""Making a participant's home: its folders, its settings, ready to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oms_batch.errors import WrongState
from oms_batch.settings import FILE_NAME, Role, template
from oms_batch.store import fsio
from oms_batch.store.spool import Home


def init(
    folder: str,
    role: Role,
    *,
    own: Mapping[str, str] | None = None,
    partners: Sequence[Mapping[str, str]] | None = None,
    profile: str = "yaroslavl",
    **options: int | bool,
) -> str:
    """Make a home; gives the path of its settings. ``WrongState`` HOME_EXISTS when there is one already.

    Codes that are not given stay empty in the settings; opening the home says which.
    """
    home = Home.at(fsio.absolute(folder))
    if fsio.exists(home.settings):
        raise WrongState("HOME_EXISTS", FILE_NAME)
    fsio.mkdirs(home.root)
    home.create([one["folder"] for one in partners or ()])
    fsio.mkdirs(home.rules)
    text = template(role, own=own, partners=partners, profile=profile, **options)
    fsio.write_bytes_durable(home.settings, text.encode())
    return str(home.settings)

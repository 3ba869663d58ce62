"""Settings: what is allowed, and that every fault is told with key and reason, without the value."""

from __future__ import annotations

import tomllib

import pytest

from oms_batch.errors import SetupError
from oms_batch.i18n import set_language
from oms_batch.settings import Limits, Settings, load_settings, template

MO = {"ogrn": "1027600000108", "kpp": "760401001", "name": 'Клиника "Север" \\ 1'}
FUND = {"folder": "tfoms", "role": "tfoms", "ogrn": "1027600000306", "letter": "F", "smo": "76", "name": "Фонд"}
SMO_P = {"folder": "smo-p", "role": "smo", "ogrn": "1027600000405", "letter": "P", "smo": "76001", "name": "СК П"}
SMO_R = {"folder": "smo-r", "role": "smo", "ogrn": "1027700000503", "letter": "R", "smo": "76002", "name": "СК Р"}

GOOD = template("mo", own=MO, partners=[FUND, SMO_P, SMO_R])


@pytest.fixture(autouse=True)
def _russian():
    set_language("ru")
    yield
    set_language("ru")


def _fault(text: str) -> str:
    with pytest.raises(SetupError) as caught:
        load_settings(text.encode(), "/home")
    assert caught.value.__cause__ is None
    quiet = caught.value.__suppress_context__ or caught.value.__context__ is None
    assert quiet, "the own message of the parser, which may hold values, must not be shown"
    return str(caught.value)


def test_the_template_of_init_loads_and_says_what_it_was_given() -> None:
    settings = load_settings(GOOD.encode(), "/home")
    assert settings.home == "/home"
    assert settings.own.name == MO["name"]
    assert [one.folder for one in settings.partner] == ["tfoms", "smo-p", "smo-r"]
    assert settings.limits == Limits()
    assert settings.lang == "ru"


@pytest.mark.parametrize("role", ["mo", "tfoms", "smo"])
@pytest.mark.parametrize("lang", ["ru", "en"])
def test_an_empty_template_says_which_codes_to_fill_in(role: str, lang: str) -> None:
    set_language(lang)
    text = template(role)  # type: ignore[arg-type]
    assert tomllib.loads(text)["lang"] == lang
    message = _fault(text)
    assert "own" in message and "ogrn" in message
    assert "partner.1.folder" in message


def test_options_of_the_template() -> None:
    settings = load_settings(
        template(
            "smo", own=SMO_P, partners=[{**MO, "folder": "mo", "role": "mo"}], settle_seconds=0, isolate=False
        ).encode(),
        "/h",
    )
    assert settings.settle_seconds == 0
    assert settings.limits.isolate is False


def test_partners_are_found_by_folder_and_known_by_their_codes() -> None:
    settings = load_settings(GOOD.encode(), "/home")
    _fund, insurer, other = settings.partner
    assert settings.by_folder("smo-p") is insurer
    assert settings.by_folder("SMO-P") is None
    assert "R" in other.payer_codes and "" not in other.payer_codes
    assert settings.own.mo_codes == {f"{MO['ogrn']}-{MO['kpp']}"}


def test_an_organisation_may_be_called_by_a_code_alone() -> None:
    own, fund = {"code": "760001", "name": "x"}, {"code": "76", "folder": "tfoms", "role": "tfoms"}
    settings = load_settings(template("mo", own=own, partners=[fund], profile="federal").encode(), "")
    assert settings.own.mo_codes == {"760001"}
    assert settings.partner[0].payer_codes == {"76"}


# what stands in the file → the key that must be named → the value that must not be
FAULTS = [
    ('ogrn = "1027600000108"', 'ogrn = "10276000001O8"', "own.ogrn", "10276000001O8"),
    ('ogrn = "1027600000108"', 'ogrn = "1027600000108\\n"', "own.ogrn", "1027600000108"),
    ('ogrn = "1027600000108"', 'ogrn = "١٠٢٧٦٠٠٠٠٠١٠٨"', "own.ogrn", "١٠٢"),
    ('ogrn = "1027600000108"', "ogrn = 1027600000109", "own.ogrn", "1027600000109"),
    ('kpp = "760401001"', 'kpp = "76040100"', "own.kpp", "76040100"),
    ('kpp = "760401001"', 'kpp = ""', "own.kpp", "760401001"),
    ('letter = "P"', 'letter = "Р"', "partner.2.letter", 'Р"'),
    ('letter = "P"', 'letter = "p"', "partner.2.letter", "'p'"),
    ('letter = "P"', 'letter = ""', "partner 2", "76001"),
    ('letter = "P"', 'letter = "R"', "partner", "smo-p"),
    ('smo = "76001"', 'smo = "7600100"', "partner.2.smo", "7600100"),
    ('folder = "smo-p"', 'folder = "../smo"', "partner.2.folder", "../smo"),
    ('folder = "smo-p"', 'folder = "tfoms"', "partner 2", "tfoms"),
    ('role = "mo"', 'role = "clinic"', "role", "clinic"),
    ('role = "mo"', "", "role", "clinic"),
    ('lang = "ru"', 'lang = "de"', "lang", "'de'"),
    ('profile = "yaroslavl"', 'profile = "../x"', "profile", "../x"),
    ("memory_mb = 2048", "memory_mb = 12", "limits.memory_mb", " 12"),
    ("memory_mb = 2048", 'memory_mb = "2048"', "limits.memory_mb", "2048"),
    ("memory_mb = 2048", "memory_mb = 2048\nsecret = 4711", "limits.secret", "4711"),
    ("isolate = true", "isolate = 1", "limits.isolate", " 1"),
    ("zip_level = 6", "zip_level = 17", "zip_level", "17"),
    ('closed_through = ""', 'closed_through = "2018-13"', "closed_through", "2018-13"),
    ('closed_through = ""', "closed_through = 2018-09", "oms-batch.toml", "2018"),
    ('closed_through = ""', "closed_through = 2018-09-01", "closed_through", "2018-09"),
    ("zip_level = 6", 'zip_level = 6\nhome = "/etc"', "home", "/etc"),
]


@pytest.mark.parametrize(("old", "new", "key", "value"), FAULTS)
@pytest.mark.parametrize("lang", ["ru", "en"])
def test_a_fault_is_told_with_its_key_and_without_the_value(
    old: str, new: str, key: str, value: str, lang: str
) -> None:
    set_language(lang)
    assert old in GOOD, "the case must change something"
    message = _fault(GOOD.replace(old, new, 1))
    shown = message if lang == "en" else message.replace("партнёр ", "partner ")
    assert key in shown
    assert value not in message
    if lang == "ru":
        assert any("а" <= sign <= "я" for sign in message), message


def test_all_faults_are_told_at_once() -> None:
    message = _fault(GOOD.replace('kpp = "760401001"', 'kpp = "1"').replace("zip_level = 6", "zip_level = 10"))
    assert "own.kpp" in message
    assert "zip_level" in message


@pytest.mark.parametrize("broken", [b"role = ", b"\xff\xfe", b'own = {name = "Hidden Person'])
def test_a_broken_file_is_told_by_place(broken: bytes) -> None:
    with pytest.raises(SetupError) as caught:
        load_settings(broken, "")
    assert "oms-batch.toml" in str(caught.value)
    assert "Hidden" not in str(caught.value)


def test_settings_do_not_change() -> None:
    settings = load_settings(GOOD.encode(), "/home")
    with pytest.raises(ValueError, match="frozen"):
        settings.role = "smo"


def test_every_default_is_in_the_template() -> None:
    """A key that init does not write is a key nobody knows of."""
    data = tomllib.loads(GOOD)
    plain = {key for key, field in Settings.model_fields.items() if key != "home"}
    assert plain <= set(data)
    assert set(Limits.model_fields) == set(data["limits"])

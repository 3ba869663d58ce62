# Sourced by run-demo and run-tests from the root of the checkout: finds Python 3.11+, makes .venv once,
# installs the project into it, and again only after setup.cfg has changed. Sets $py.

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for name in ${OMS_PYTHON:-} python3.11 python3.12 python3.13 python3.14 python3 python; do
        if command -v "$name" >/dev/null 2>&1 &&
            "$name" -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return 0
        fi
    done
    return 1
}

prepare() {
    py=.venv/bin/python
    wanted=$(cksum <setup.cfg | tr ' ' '-')-$(pwd | cksum | tr ' ' '-')
    [ -x "$py" ] && [ "$(cat .venv/oms-batch.stamp 2>/dev/null)" = "$wanted" ] && return 0
    if [ ! -x "$py" ]; then
        base=$(find_python) || {
            say "Нужен Python 3.11 или новее (с модулем venv): поставьте его и повторите."
            say "Python 3.11 or newer (with the venv module) is needed: install it and run this again."
            exit 3
        }
        say "Готовлю окружение .venv ($base) … / making .venv …"
        "$base" -m venv .venv || {
            rm -rf .venv
            say "Не удалось создать .venv: на Debian и Ubuntu нужен пакет python3-venv."
            say "Could not make .venv: on Debian and Ubuntu install the package python3-venv."
            exit 3
        }
    fi
    say "Ставлю библиотеки, один раз, обычно 1–3 минуты … / installing libraries, once, 1–3 minutes …"
    "$py" -m pip install --quiet --disable-pip-version-check --editable '.[test]' || {
        say ""
        say "Библиотеки не установились: причина в строках выше. Нужен доступ к PyPI или к его зеркалу"
        say "(PIP_INDEX_URL=… или PIP_FIND_LINKS=папка_с_wheel). Повторный запуск продолжит с этого места."
        say "The libraries could not be installed: the reason is above. PyPI or a mirror of it is needed"
        say "(PIP_INDEX_URL=… or PIP_FIND_LINKS=folder_with_wheels). Run again to go on."
        exit 3
    }
    printf '%s\n' "$wanted" >.venv/oms-batch.stamp
}

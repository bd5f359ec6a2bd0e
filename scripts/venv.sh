#!/bin/sh
# Usage: scripts/venv.sh demo|dev. Makes .venv and installs what that set needs; does nothing where that is done already.
set -eu
cd "$(dirname "$0")/.."
set_name=$1

case "$set_name" in
    demo) files="requirements.txt requirements-demo.txt" ;;
    dev) files="requirements.txt requirements-demo.txt requirements-dev.txt" ;;
    *) echo "Usage: scripts/venv.sh demo|dev" >&2; exit 2 ;;
esac

is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        if is_recent "$candidate"; then echo "$candidate"; return; fi
    done
    echo "Python 3.11 or newer is needed and was not found. On Debian: apt-get install python3 python3-venv" >&2
    exit 1
}

# cksum is in every POSIX system; a changed pin is what it has to notice, not a forger.
wanted() { cat $1 | cksum; }

if ! is_recent .venv/bin/python; then
    rm -rf .venv
    python=$(find_python)
    if command -v uv >/dev/null 2>&1; then
        uv venv --quiet --python "$(command -v "$python")" .venv
    elif ! "$python" -m venv .venv; then
        rm -rf .venv
        echo "$python cannot make a virtual environment. On Debian: apt-get install python3-venv" >&2
        exit 1
    fi
fi

stamp=.venv/.installed-$set_name
if [ "$(cat "$stamp" 2>/dev/null || true)" = "$(wanted "$files")" ]; then exit 0; fi
echo "Installing into .venv: $files"
for file in $files; do requirements="${requirements:-} -r $file"; done
if command -v uv >/dev/null 2>&1; then
    uv pip install --quiet --python .venv/bin/python $requirements
else
    .venv/bin/python -m pip install --quiet --disable-pip-version-check $requirements
fi
wanted "$files" >"$stamp"
if [ "$set_name" = dev ]; then wanted "requirements.txt requirements-demo.txt" >.venv/.installed-demo; fi

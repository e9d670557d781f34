#!/usr/bin/env bash
# The main job on real scenes: three yearly Sentinel-2 scenes of the quarries round Strzegom, Poland.
# Replace the files by your own, and this is how your district becomes damaged area by mine and year.
#
#   LODE_TEST_DATA  folder that holds strzegom/ (default: ../shared/data beside the checkout)
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"
data="${LODE_TEST_DATA:-../shared/data}/strzegom"
out=build/real
if [ ! -d "$data" ]; then
  echo "the scenes are missing: expected in $data; set LODE_TEST_DATA to the folder that holds strzegom" >&2
  exit 1
fi
if [ -n "${LODE_DATABASE_URL:-}" ]; then
  echo "this example makes a database of its own in the private cluster: unset LODE_DATABASE_URL" >&2
  exit 1
fi
mkdir -p "$out"
started=$(date +%s)

# A database of its own, empty at the start.
lode up
lode psql --quiet -c 'drop database if exists lode_real with (force)'
export LODE_DATABASE=lode_real
lode up

# Scenes. From 2022 on Sentinel-2 products carry 1000 in every value: the offset is said, not guessed.
lode ingest scene "$data/scenes/strzegom_20210619_33u.tif" \
  --sensor sentinel2_msi --acquired-on 2021-06-19 --offset 0 --scale 0.0001
lode ingest scene "$data/scenes/strzegom_20220719_33u.tif" \
  --sensor sentinel2_msi --acquired-on 2022-07-19 --offset -1000 --scale 0.0001
lode ingest scene "$data/scenes/strzegom_20230301_33u.tif" \
  --sensor sentinel2_msi --acquired-on 2023-03-01 --offset -1000 --scale 0.0001

# Labels drawn on each scene, and the mines.
for scene in strzegom_20210619_33u strzegom_20220719_33u strzegom_20230301_33u; do
  lode ingest labels "$data/labels/$scene.tif" --classes examples/strzegom/classes.toml --scene "$scene"
done
lode ingest mines "$data/mines.geojson"

# Train on some blocks, choose by others, and report on blocks that neither saw.
lode train segmentation --name strzegom --architecture unet --backbone small --seed 1

# Interpret every scene; the areas follow.
for scene in strzegom_20210619_33u strzegom_20220719_33u strzegom_20230301_33u; do
  lode infer --scene "$scene" --model strzegom
done
lode model show strzegom
lode report damage
lode report damage --format json > "$out/damage.json"
lode model show strzegom --format json > "$out/model.json"
python examples/strzegom/summarise.py "$out/damage.json" "$out/model.json" "$(($(date +%s) - started))" > build/real.json
echo "figures: build/real.json; look at the result: lode status tells how QGIS connects to lode_real"

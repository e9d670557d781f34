#!/usr/bin/env bash
# Tailings ponds at five mines in Brazil, ten scenes: how well are they found at a mine never trained on?
#
#   examples/tailings/run.sh            the masks joined: what one scene's mask calls tailings is tailings in
#                                       the scenes that overlap it (see contradictions.py for why)
#   examples/tailings/run.sh as-drawn   every scene by its own mask alone
#
#   LODE_TEST_DATA  folder that holds brazil_tailings/ (default: ../shared/data beside the checkout)
#   EPOCHS          of each of the seven trainings (default: 12)
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"
data="${LODE_TEST_DATA:-../shared/data}/brazil_tailings"
masks="${1:-joined}"
numbers="12 13 14 15 71 24 27 28 43 44"
if [ ! -d "$data" ]; then
  echo "the scenes are missing: expected in $data; set LODE_TEST_DATA to the folder that holds brazil_tailings" >&2
  exit 1
fi
if [ -n "${LODE_DATABASE_URL:-}" ]; then
  echo "this example makes a database of its own in the private cluster: unset LODE_DATABASE_URL" >&2
  exit 1
fi
case "$masks" in
  joined) database=lode_tailings ;;
  as-drawn) database=lode_tailings_as_drawn ;;
  *) echo "masks are '$masks': give joined or as-drawn" >&2; exit 1 ;;
esac
out="build/tailings_$masks"
mkdir -p "$out"

# What the masks say of the ground they share, and what that leaves to reach.
python examples/tailings/contradictions.py "$data"/labels/mask_*.tif

# A database of its own, empty at the start.
lode up
lode psql --quiet -c "drop database if exists $database with (force)"
export LODE_DATABASE="$database"
lode up

# Reflectance of 2021, a median of the year: the day stands for the year.
for n in $numbers; do
  lode ingest scene "$data/scenes/img_$n.tif" --product "brazil_$n" \
    --sensor sentinel2_msi --bands B02,B03,B04 --acquired-on 2021-07-01 --offset 0 --scale 1
done
if [ "$masks" = as-drawn ]; then
  for n in $numbers; do
    lode ingest labels "$data/labels/mask_$n.tif" --classes examples/tailings/classes.toml --scene "brazil_$n"
  done
else
  # Labels of no scene hold for all scenes of their year; later ones lie on top, so tailings come last.
  for part in background ponds; do
    for n in $numbers; do
      lode ingest labels "$data/labels/mask_$n.tif" --classes "examples/tailings/$part.toml" \
        --valid-on 2021-07-01 --source-name "mask_${n}_$part"
    done
  done
fi

# Scenes 27 and 28 lie 100 m apart at one mine: with a gap of 1 km a mine is never in two parts.
lode samples build --name default --split scene --tile-px 128 --gap-m 1000
for k in 1 2 3 4 5; do
  lode samples build --name "fold$k" --split scene --tile-px 128 --gap-m 1000 --fold "$k/5"
done
# The easier question: other ground of the same mines.
lode samples build --name blocks --split block --tile-px 128

for set in default fold1 fold2 fold3 fold4 fold5 blocks; do
  lode train segmentation --name "$set" --samples "$set" --architecture deeplabv3plus --backbone small \
    --epochs "${EPOCHS:-12}"
  lode model show "$set" --format json > "$out/$set.json"
done
python examples/tailings/pictures.py "$out" fold1 fold2 fold3 fold4 fold5 blocks
python examples/tailings/summarise.py "$out" > "build/tailings_$masks.json"
echo "figures: build/tailings_$masks.json, pictures: $out/*.png"

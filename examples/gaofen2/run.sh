#!/usr/bin/env bash
# From the satellite's package to comparable reflectance: three years of Gaofen-2 packages of a made-up district.
# Replace the packages and the elevation model by your own, and this is what a year's work with ENVI becomes.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"
out=build/gaofen2
if [ -n "${LODE_DATABASE_URL:-}" ]; then
  echo "this example makes a database of its own in the private cluster: unset LODE_DATABASE_URL" >&2
  exit 1
fi
mkdir -p "$out"

# A database of its own, empty at the start.
lode up
lode psql --quiet -c 'drop database if exists lode_gaofen2 with (force)'
export LODE_DATABASE=lode_gaofen2
lode up

# Packages as a data centre delivers them, and what is true about them in packages/truth.
lode simulate "$out/packages" --kind gf2 --size-px 1200
lode ingest calibration "$out/packages/calibration_2023.csv"

# The clear year first; the others are registered and fitted to it.
reference=$(basename "$out"/packages/GF2_*_2021*)
lode ingest scene "$out/packages/$reference" --dem "$out/packages/terrain.tif"
for year in 2022 2023; do
  lode ingest scene "$out"/packages/GF2_*_"$year"* --dem "$out/packages/terrain.tif" --reference "$reference"
done

lode scene list
for package in "$out"/packages/GF2_*; do
  lode scene show "$(basename "$package")"
  lode scene quicklook "$(basename "$package")" --out "$out/$(basename "$package").png"
done
echo "pictures: $out/*.png; cloud and shadow are outlined in red, snow and bright tailings are not"

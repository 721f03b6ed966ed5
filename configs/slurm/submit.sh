#!/bin/bash
# One night of a job as a Slurm array and a merge behind it:
#
#   submit.sh JOB OUT SHARDS [sbatch options, as --account=my_lab --partition=long]
#
# OUT and the job must be on a file system that all nodes see. The same command on the same day goes on with
# shards that were cut off, and asks finished ones anew; one alone goes on with
#   BATCHSUM_TODAY=2026-11-23 BATCHSUM_SHARDS=5 sbatch --array=3 shards.sbatch JOB OUT
# The key comes from the job's api_key_file: an environment can be read by others on some clusters.
set -euo pipefail

if [ $# -lt 3 ]; then
    echo "usage: submit.sh JOB OUT SHARDS [sbatch options]" >&2
    exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
job=$(realpath "$1")
out=$(realpath -m "$2")
shards=$3
shift 3

# Shards that start on both sides of midnight belong to one night.
BATCHSUM_TODAY=${BATCHSUM_TODAY:-$(date +%F)}
BATCHSUM_SHARDS=$shards
export BATCHSUM_TODAY BATCHSUM_SHARDS

batchsum check "$job" >/dev/null   # every problem of the job, before anything is queued
mkdir -p "$out/shards"
array=$(sbatch --parsable --array="1-$shards" --output="$out/shards/slurm-%A_%a.log" "$@" "$here/shards.sbatch" "$job" "$out")
merge=$(sbatch --parsable --dependency="afterok:${array%%;*}" --kill-on-invalid-dep=yes \
    --output="$out/shards/slurm-%j.log" "$@" "$here/merge.sbatch" "$out")
echo "night $BATCHSUM_TODAY: shards ${array%%;*}, merge ${merge%%;*}"

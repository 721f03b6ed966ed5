// One night of a job in shards: plan, shards, merge.
//
//   nextflow run main.nf --job /lab/jobs/job.yaml --out /lab/out --shards 5
//
// Lists that the job names must lie in its directory, or below. The day is part of every task: -resume goes on with
// today's night, and with --today 2026-11-22 with yesterday's. Shards add no speed under one key (see nextflow.config).

include { BATCHSUM_CHECK } from './modules/batchsum/check/main'
include { BATCHSUM_SHARD } from './modules/batchsum/shard/main'
include { BATCHSUM_MERGE } from './modules/batchsum/merge/main'

params.job    = null
params.out    = null
params.shards = 5
params.today  = null

workflow {
    if (!params.job || !params.out) {
        error "write --job JOB and --out DIR"
    }
    def job   = file(params.job, checkIfExists: true)
    def out   = file(params.out).toAbsolutePath().toString()
    def today = params.today ?: java.time.LocalDate.now().toString()
    def parts = params.shards as Integer
    def meta  = [id: job.baseName]

    BATCHSUM_CHECK([meta, job.parent, job.name], today)

    ch_parts = BATCHSUM_CHECK.out.plan
        .flatMap { m, plan -> (1..parts).collect { part -> [m, job.parent, job.name, part, parts] } }
    BATCHSUM_SHARD(ch_parts, today)

    ch_shards = BATCHSUM_SHARD.out.shard
        .groupTuple(size: parts)
        .map { m, shards -> [m, shards, out] }
    BATCHSUM_MERGE(ch_shards)
}

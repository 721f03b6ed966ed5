// The table goes to `out`, which stays from night to night: the nights before are remembered there. Exit code 3 is a
// table with rows that cannot be relied on; it is published, and the rows say so.
process BATCHSUM_MERGE {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "batchsum:0.2.0"
    containerOptions "--entrypoint=''"  // Docker or Podman: Nextflow starts a shell in it

    input:
    tuple val(meta), path(shards, stageAs: 'shards/*'), val(out)

    output:
    tuple val(meta), path("${prefix}/summary.*") , emit: summary
    tuple val(meta), path("${prefix}/changes.csv"), emit: changes
    tuple val(meta), path("${prefix}/report.html"), emit: report
    tuple val(meta), path("${prefix}/run.json")   , emit: manifest
    path "versions.yml"                           , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix   = task.ext.prefix ?: "${meta.id}"
    """
    code=0
    batchsum merge ${args} '${out}' shards/* || code=\$?
    [ "\$code" -eq 0 ] || [ "\$code" -eq 3 ] || exit "\$code"
    mkdir '${prefix}'
    cp '${out}'/summary.* '${out}/changes.csv' '${out}/report.html' '${out}/run.json' '${prefix}/'

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        batchsum: \$(batchsum --version | sed 's/^batchsum //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    mkdir '${prefix}'
    touch '${prefix}/summary.csv' '${prefix}/changes.csv' '${prefix}/report.html' '${prefix}/run.json'

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        batchsum: \$(batchsum --version | sed 's/^batchsum //')
    END_VERSIONS
    """
}

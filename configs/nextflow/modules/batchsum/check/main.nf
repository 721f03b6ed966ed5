process BATCHSUM_CHECK {
    tag "${meta.id}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "batchsum:0.2.0"
    containerOptions "--entrypoint=''"  // Docker or Podman: Nextflow starts a shell in it

    input:
    tuple val(meta), path(jobdir, stageAs: 'job'), val(jobfile)
    val today

    output:
    tuple val(meta), path("${prefix}.json"), emit: plan
    path "versions.yml"                    , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args = task.ext.args ?: ''
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    export BATCHSUM_TODAY='${today}'
    batchsum check 'job/${jobfile}' --json ${args} > '${prefix}.json' || { batchsum check 'job/${jobfile}'; exit 2; }

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        batchsum: \$(batchsum --version | sed 's/^batchsum //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${meta.id}"
    """
    echo '{}' > '${prefix}.json'

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        batchsum: \$(batchsum --version | sed 's/^batchsum //')
    END_VERSIONS
    """
}

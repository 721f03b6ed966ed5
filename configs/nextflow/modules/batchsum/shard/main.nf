// A task that is tried again gets a new folder. With task.ext.state, a directory that stays, it goes on with what it
// has asked; without, it asks its part anew.
process BATCHSUM_SHARD {
    tag "${meta.id} ${part}/${parts}"
    label 'process_single'

    conda "${moduleDir}/environment.yml"
    container "batchsum:0.2.0"
    containerOptions "--entrypoint=''"  // Docker or Podman: Nextflow starts a shell in it

    input:
    tuple val(meta), path(jobdir, stageAs: 'job'), val(jobfile), val(part), val(parts)
    val today

    output:
    tuple val(meta), path("${prefix}", type: 'dir'), emit: shard
    path "versions.yml"                            , emit: versions

    when:
    task.ext.when == null || task.ext.when

    script:
    def args  = task.ext.args ?: ''
    prefix    = task.ext.prefix ?: "${part}-of-${parts}"
    def state = task.ext.state ? "${task.ext.state}/${meta.id}/${today}/${prefix}" : ''
    """
    export BATCHSUM_TODAY='${today}'
    if [ -n '${state}' ]; then
        mkdir -p '${state}'
        ln -sfn '${state}' '${prefix}'
    fi
    batchsum run 'job/${jobfile}' --shard '${part}/${parts}' --out '${prefix}' --if-locked wait ${args}

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        batchsum: \$(batchsum --version | sed 's/^batchsum //')
    END_VERSIONS
    """

    stub:
    prefix = task.ext.prefix ?: "${part}-of-${parts}"
    """
    mkdir '${prefix}'
    touch '${prefix}/shard.json'

    cat <<-END_VERSIONS > versions.yml
    "${task.process}":
        batchsum: \$(batchsum --version | sed 's/^batchsum //')
    END_VERSIONS
    """
}

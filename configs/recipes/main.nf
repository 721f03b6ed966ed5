// A step of a Nextflow pipeline: tonight's counts, and what comes after them.
//   nextflow run main.nf --job /path/to/pipeline.yaml --out /path/to/watch
//
// batchsum keeps its own directory outside of work/, so that it remembers the nights before. Exit code 3 is a table
// in which some rows cannot be relied on; it is taken, and the next process leaves those rows out.

params.job = "${projectDir}/pipeline.yaml"
params.out = "${launchDir}/watch"

process counts {
    cache false   // every night asks anew

    input:
    val job
    val out

    output:
    path 'summary.csv'

    script:
    """
    batchsum run '${job}' --out '${out}' --if-locked wait || [ \$? -eq 3 ]
    cp '${out}/summary.csv' summary.csv
    """
}

process believed {
    publishDir params.out

    input:
    path table

    output:
    path 'believed.csv'

    script:
    """
    #!/usr/bin/env python3
    import csv

    columns = ["taxon", "tax_id", "scientific_name", "filter_set", "record_count"]
    with open("${table}", newline="") as table, open("believed.csv", "w", newline="") as chosen:
        rows = csv.DictReader(table)
        writer = csv.DictWriter(chosen, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row for row in rows if row["status"] in ("ok", "empty"))
    """
}

workflow {
    believed(counts(params.job, params.out))
}

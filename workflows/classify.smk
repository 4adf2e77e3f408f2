rule reference:
    input:
        measurements=reference_measurements,
    output:
        reference=in_results("reference/{stain}.json"),
    log:
        in_results("logs/reference/{stain}.log"),
    benchmark:
        in_results("benchmarks/reference/{stain}.tsv")
    retries: 1
    conda:
        "envs/cellseg.yaml"
    threads: 1
    resources:
        mem_mb=more_memory(2000),
        runtime=more_time(60),
    params:
        settings=as_json("classify", "exclude", "reference"),
    shell:
        "(set -x; cellseg reference {input.measurements:q} -o {output.reference:q} --stain {wildcards.stain:q}"
        " --settings {params.settings:q}) > {log:q} 2>&1"


rule classify:
    input:
        measurements=in_results("samples/{sample}/measure/measurements.parquet"),
        recipe=in_results("samples/{sample}/segment/recipe.json"),
        reference=reference_of,
        model=model_file,
    output:
        verdicts=in_results("samples/{sample}/classify/verdicts.parquet"),
    log:
        in_results("logs/classify/{sample}.log"),
    benchmark:
        in_results("benchmarks/classify/{sample}.tsv")
    retries: 1
    conda:
        "envs/cellseg.yaml"
    threads: 1
    resources:
        mem_mb=more_memory(1500),
        runtime=more_time(60),
    params:
        reference=reference_option,
        settings=as_json("classify"),
    shell:
        "(set -x; cellseg classify {input.measurements:q} -o {output.verdicts:q} --recipe {input.recipe:q}"
        " {params.reference} --settings {params.settings:q} --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"

rule tables:
    input:
        measurements=in_results("samples/{sample}/measure/measurements.parquet"),
        verdicts=in_results("samples/{sample}/classify/verdicts.parquet"),
    output:
        csv=in_results("samples/{sample}/cells.csv"),
        parquet=in_results("samples/{sample}/cells.parquet"),
        healthy=in_results("samples/{sample}/healthy.csv"),
        abnormal=in_results("samples/{sample}/abnormal.csv"),
        uncertain=in_results("samples/{sample}/uncertain.csv"),
        excluded=in_results("samples/{sample}/excluded.csv"),
        columns=in_results("samples/{sample}/columns.json"),
    log:
        in_results("logs/tables/{sample}.log"),
    benchmark:
        in_results("benchmarks/tables/{sample}.tsv")
    retries: 1
    conda:
        "envs/cellseg.yaml"
    threads: 1
    resources:
        mem_mb=more_memory(1500),
        runtime=more_time(60),
    params:
        folder=subpath(output.csv, parent=True),
    shell:
        "(set -x; cellseg tables {input.measurements:q} {input.verdicts:q} -o {params.folder:q}"
        " --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"


rule overlay:
    input:
        image=image_if_there,
        labels=in_results("samples/{sample}/segment/labels.ome.tif"),
        cells=in_results("samples/{sample}/cells.parquet"),
        recipe=in_results("samples/{sample}/segment/recipe.json"),
        reference=reference_of,
    output:
        overlay=shown(in_results("samples/{sample}/overlay.png"), "Cells"),
        features=shown(in_results("samples/{sample}/features.png"), "Cells"),
    log:
        in_results("logs/overlay/{sample}.log"),
    benchmark:
        in_results("benchmarks/overlay/{sample}.tsv")
    retries: 1
    conda:
        "envs/cellseg.yaml"
    threads: 1
    resources:
        mem_mb=more_memory(2000),
        runtime=more_time(60),
    params:
        image=image_path,
        folder=subpath(output.overlay, parent=True),
        reference=reference_option,
        settings=as_json("report"),
        inputs=as_json("input", "max_decoded_mpx"),
    shell:
        "(set -x; cellseg overlay {params.image:q} {input.labels:q} {input.cells:q} -o {params.folder:q}"
        " --recipe {input.recipe:q} {params.reference} --settings {params.settings:q} --inputs {params.inputs:q}"
        " --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"


rule polygons:
    input:
        labels=in_results("samples/{sample}/segment/labels.ome.tif"),
        cells=in_results("samples/{sample}/cells.parquet"),
    output:
        polygons=in_results("samples/{sample}/cells.geojson.gz"),
    log:
        in_results("logs/polygons/{sample}.log"),
    benchmark:
        in_results("benchmarks/polygons/{sample}.tsv")
    retries: 2
    conda:
        "envs/cellseg.yaml"
    threads: share_of_cores()
    resources:
        mem_mb=memory_of_tiles(1500),
        runtime=more_time(60),
        tile_px=config["compute"]["tile_px"],
        shrunk=shrunk,
    params:
        settings=as_json("polygons"),
        inputs=as_json("input", "max_decoded_mpx"),
    shell:
        "(set -x; cellseg polygons {input.labels:q} {input.cells:q} -o {output.polygons:q} --settings {params.settings:q}"
        " --inputs {params.inputs:q} --tile-px {resources.tile_px} --workers {threads}"
        " --memory-mb $(({resources.mem_mb} / {resources.shrunk}))"
        " --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"


# The tables are named so that a change in any of them is looked at; the command finds them beside cells.parquet.
rule integrity:
    input:
        labels=in_results("samples/{sample}/segment/labels.ome.tif"),
        cells=in_results("samples/{sample}/cells.parquet"),
        tables=tables_of_status,
        polygons=cell_polygons,
        recipe=in_results("samples/{sample}/segment/recipe.json"),
    output:
        integrity=shown(in_results("samples/{sample}/integrity.json"), "Quality"),
    log:
        in_results("logs/integrity/{sample}.log"),
    benchmark:
        in_results("benchmarks/integrity/{sample}.tsv")
    retries: 2
    conda:
        "envs/cellseg.yaml"
    threads: 1
    resources:
        mem_mb=memory_of_tiles(1500),
        runtime=more_time(60),
        tile_px=config["compute"]["tile_px"],
        shrunk=shrunk,
    params:
        settings=as_json("polygons", "outline_tolerance_px"),
        inputs=as_json("input", "max_decoded_mpx"),
    shell:
        "(set -x; cellseg integrity {input.labels:q} {input.cells:q} {input.polygons:q} -o {output.integrity:q}"
        " --recipe {input.recipe:q} --settings {params.settings:q} --inputs {params.inputs:q}"
        " --tile-px {resources.tile_px}"
        " --memory-mb $(({resources.mem_mb} / {resources.shrunk})) --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"


rule summary:
    input:
        sheet=local(config["samples"]),
        tables=expand(in_results("samples/{sample}/columns.json"), sample=SAMPLES),
        overlays=expand(in_results("samples/{sample}/overlay.png"), sample=SAMPLES),
        integrity=expand(in_results("samples/{sample}/integrity.json"), sample=SAMPLES),
    output:
        slides=shown(in_results("slides.tsv"), "Cohort"),
        summary=shown(in_results("summary.csv"), "Cohort"),
        tissues=shown(in_results("summary_tissue.csv"), "Cohort"),
        wdbc10=shown(in_results("summary_wdbc10.csv"), "Cohort"),
        by_slide=shown(in_results("summary_slide.csv"), "Cohort"),
        by_patient=shown(in_results("summary_patient.csv"), "Cohort"),
    log:
        in_results("logs/summary.log"),
    benchmark:
        in_results("benchmarks/summary.tsv")
    retries: 1
    localrule: True
    conda:
        "envs/cellseg.yaml"
    threads: 1
    resources:
        mem_mb=more_memory(1500),
        runtime=more_time(30),
    params:
        folder=subpath(output.slides, parent=True),
    shell:
        "(set -x; cellseg summary {params.folder:q} --samples {input.sheet:q}) > {log:q} 2>&1"


# What was made from what, by what and when: after every result, and before the failed ones are cleared away. Images are
# inputs only where they have to be fetched: a change in one comes by way of its results.
rule provenance:
    input:
        sheet=local(config["samples"]),
        slides=in_results("slides.tsv"),
        summary=in_results("summary.csv"),
        fetched=files_for(STORED, image_if_there, annotation_if_there),
    output:
        crate=in_results("ro-crate-metadata.json"),
        config=in_results("provenance/config.json"),
        workflow=in_results("provenance/Snakefile"),
    log:
        in_results("logs/provenance.log"),
    benchmark:
        in_results("benchmarks/provenance.tsv")
    retries: 1
    localrule: True
    conda:
        "envs/cellseg.yaml"
    threads: min(4, all_cores())
    resources:
        mem_mb=more_memory(1500),
        runtime=more_time(60),
    params:
        folder=subpath(output.crate, parent=True),
        settings=json.dumps(config, sort_keys=True),
        workflow=os.path.join(SOURCE, "Snakefile"),
        fetched=fetched_options,
    shell:
        "(set -x; cellseg provenance {params.folder:q} --samples {input.sheet:q} --settings {params.settings:q}"
        " --workflow {params.workflow:q} {params.fetched} --workers {threads}) > {log:q} 2>&1"


# Last of all: names the samples that failed, clears the way for the next run to try them again, and fails if there are any.
rule check:
    input:
        slides=in_results("slides.tsv"),
        crate=in_results("ro-crate-metadata.json"),
    output:
        touch(in_results("logs/check.done")),
    log:
        in_results("logs/check.log"),
    benchmark:
        in_results("benchmarks/check.tsv")
    localrule: True
    conda:
        "envs/cellseg.yaml"
    threads: 1
    resources:
        mem_mb=more_memory(500),
        runtime=more_time(10),
    params:
        folder=subpath(input.slides, parent=True),
    shell:
        "(set -x; cellseg check {params.folder:q}) > {log:q} 2>&1"


onstart:
    check_jobs_can_start()
    withdraw_ledger()


onerror:
    close_ledger()

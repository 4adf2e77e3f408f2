rule measure:
    input:
        image=image_if_there,
        labels=in_results("samples/{sample}/segment/labels.ome.tif"),
        instances=in_results("samples/{sample}/segment/instances.parquet"),
        recipe=in_results("samples/{sample}/segment/recipe.json"),
        tissue=tissue_map,
        tiles=in_results("samples/{sample}/segment/tiles.parquet"),
        shards=gathered("measure/rows.{scatteritem}.arrow"),
    output:
        measurements=in_results("samples/{sample}/measure/measurements.parquet"),
    log:
        in_results("logs/measure/{sample}.log"),
    benchmark:
        in_results("benchmarks/measure/{sample}.tsv")
    retries: 2
    conda:
        "envs/cellseg.yaml"
    threads: share_of_cores()
    resources:
        mem_mb=memory_of_tiles(2000),
        runtime=more_time(120),
        tile_px=config["compute"]["tile_px"],
        shrunk=shrunk,
    params:
        image=image_path,
        shards=lambda wildcards, input: options_of("--shards", input.shards),
        tissue=tissue_option,
        settings=as_json("measure"),
        inputs=as_json("input", "max_decoded_mpx"),
    shell:
        "(set -x; cellseg measure {params.image:q} {input.labels:q} -o {output.measurements:q} --recipe {input.recipe:q}"
        " --instances {input.instances:q} --tiles {input.tiles:q} {params.tissue}"
        " --settings {params.settings:q} --inputs {params.inputs:q} --tile-px {resources.tile_px} --workers {threads}"
        " --memory-mb $(({resources.mem_mb} / {resources.shrunk})) {params.shards}"
        " --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"

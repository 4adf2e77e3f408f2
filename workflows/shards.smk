# One large slide in many jobs. With `compute.shards` over 1, the tiles and cells of each slide are shared out to so many
# jobs, and the rules `segment` and `measure` only put together what these found; every file is as of one job.
scattergather:
    slide_shards=config["compute"]["shards"],


# What a threshold rests on is added up over the slide first; other methods need no such round.
rule segment_count:
    input:
        image=image_if_there,
        recipe=in_results("samples/{sample}/preprocess/recipe.json"),
        tissue=in_results("samples/{sample}/preprocess/tissue.png"),
    output:
        shard=temp(in_results("samples/{sample}/segment/count.{scatteritem}.arrow")),
    log:
        in_results("logs/segment_count/{sample}.{scatteritem}.log"),
    benchmark:
        in_results("benchmarks/segment_count/{sample}.{scatteritem}.tsv")
    retries: 2
    conda:
        "envs/cellseg.yaml"
    threads: share_of_cores()
    resources:
        mem_mb=memory_of_tiles(2000),
        runtime=more_time(60),
        tile_px=config["compute"]["tile_px"],
        shrunk=shrunk,
    params:
        image=image_path,
        method=config["segmentation"]["method"],
        settings=segmentation_settings,
        inputs=as_json("input", "max_decoded_mpx"),
    shell:
        "(set -x; cellseg segment-shard {params.image:q} -o {output.shard:q} --shard {wildcards.scatteritem:q} --pass count"
        " --method {params.method} --recipe {input.recipe:q}"
        " --settings {params.settings:q} --inputs {params.inputs:q} --tile-px {resources.tile_px} --workers {threads}"
        " --memory-mb $(({resources.mem_mb} / {resources.shrunk}))"
        " --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"


rule segment_find:
    input:
        image=image_if_there,
        recipe=in_results("samples/{sample}/preprocess/recipe.json"),
        tissue=in_results("samples/{sample}/preprocess/tissue.png"),
        weights=weights_file,
        counts=gathered("segment/count.{scatteritem}.arrow") if config["segmentation"]["method"] == "threshold" else [],
    output:
        shard=temp(in_results("samples/{sample}/segment/find.{scatteritem}.arrow")),
    log:
        in_results("logs/segment_find/{sample}.{scatteritem}.log"),
    benchmark:
        in_results("benchmarks/segment_find/{sample}.{scatteritem}.tsv")
    retries: 2
    conda:
        "envs/cellseg.yaml"
    threads: share_of_cores()
    resources:
        mem_mb=memory_of_tiles(2000 if config["segmentation"]["method"] == "threshold" else 5000),
        runtime=more_time(120),
        tile_px=config["compute"]["tile_px"],
        shrunk=shrunk,
        device=config["compute"]["device"],
    params:
        image=image_path,
        method=config["segmentation"]["method"],
        counts=lambda wildcards, input: options_of("--counts", input.counts),
        settings=segmentation_settings,
        inputs=as_json("input", "max_decoded_mpx"),
    shell:
        "(set -x; cellseg segment-shard {params.image:q} -o {output.shard:q} --shard {wildcards.scatteritem:q} {params.counts}"
        " --method {params.method} --recipe {input.recipe:q}"
        " --settings {params.settings:q} --inputs {params.inputs:q} --tile-px {resources.tile_px} --workers {threads}"
        " --memory-mb $(({resources.mem_mb} / {resources.shrunk})) --device {resources.device}"
        " --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"


rule measure_shard:
    input:
        image=image_if_there,
        labels=in_results("samples/{sample}/segment/labels.ome.tif"),
        instances=in_results("samples/{sample}/segment/instances.parquet"),
        recipe=in_results("samples/{sample}/segment/recipe.json"),
        tissue=tissue_map,
        tiles=in_results("samples/{sample}/segment/tiles.parquet"),
    output:
        shard=temp(in_results("samples/{sample}/measure/rows.{scatteritem}.arrow")),
    log:
        in_results("logs/measure_shard/{sample}.{scatteritem}.log"),
    benchmark:
        in_results("benchmarks/measure_shard/{sample}.{scatteritem}.tsv")
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
        tissue=tissue_option,
        settings=as_json("measure"),
        inputs=as_json("input", "max_decoded_mpx"),
    shell:
        "(set -x; cellseg measure-shard {params.image:q} {input.labels:q} -o {output.shard:q}"
        " --shard {wildcards.scatteritem:q} --recipe {input.recipe:q}"
        " --instances {input.instances:q} --tiles {input.tiles:q} {params.tissue}"
        " --settings {params.settings:q} --inputs {params.inputs:q} --tile-px {resources.tile_px} --workers {threads}"
        " --memory-mb $(({resources.mem_mb} / {resources.shrunk}))"
        " --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"

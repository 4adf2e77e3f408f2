include: "shards.smk"


rule segment:
    input:
        image=image_if_there,
        recipe=in_results("samples/{sample}/preprocess/recipe.json"),
        tissue=in_results("samples/{sample}/preprocess/tissue.png"),
        quality=in_results("samples/{sample}/preprocess/quality.json"),
        tiles=in_results("samples/{sample}/preprocess/tiles.parquet"),
        weights=weights_file,
        shards=gathered("segment/find.{scatteritem}.arrow"),
    output:
        labels=in_results("samples/{sample}/segment/labels.ome.tif"),
        record=in_results("samples/{sample}/segment/labels.json"),
        instances=in_results("samples/{sample}/segment/instances.parquet"),
        recipe=in_results("samples/{sample}/segment/recipe.json"),
        tissue=in_results("samples/{sample}/segment/tissue.png"),
        tiles=in_results("samples/{sample}/segment/tiles.parquet"),
        quality=shown(in_results("samples/{sample}/segment/quality.json"), "Quality"),
    log:
        in_results("logs/segment/{sample}.log"),
    benchmark:
        in_results("benchmarks/segment/{sample}.tsv")
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
        shards=lambda wildcards, input: options_of("--shards", input.shards),
        method=config["segmentation"]["method"],
        settings=segmentation_settings,
        preprocess=preprocess_again,
        inputs=as_json("input", "max_decoded_mpx", "mpp_tolerance", "pixel_size"),
    shell:
        "(set -x; cellseg segment {params.image:q} -o {output.labels:q} --method {params.method} --recipe {input.recipe:q}"
        " --settings {params.settings:q} {params.preprocess} --inputs {params.inputs:q} --tile-px {resources.tile_px} --workers {threads}"
        " --memory-mb $(({resources.mem_mb} / {resources.shrunk}))"
        " --device {resources.device} {params.shards}"
        " --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"

rule preprocess:
    input:
        image=image_if_there,
    output:
        recipe=in_results("samples/{sample}/preprocess/recipe.json"),
        tissue=in_results("samples/{sample}/preprocess/tissue.png"),
        thumbnail=in_results("samples/{sample}/preprocess/thumbnail.png"),
        quality=in_results("samples/{sample}/preprocess/quality.json"),
        tiles=in_results("samples/{sample}/preprocess/tiles.parquet"),
        picture=shown(in_results("samples/{sample}/preprocess/quality.png"), "Quality"),
    log:
        in_results("logs/preprocess/{sample}.log"),
    benchmark:
        in_results("benchmarks/preprocess/{sample}.tsv")
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
        image=image_path,
        folder=subpath(output.recipe, parent=True),
        acquisition=acquisition,
        settings=as_json("preprocess"),
        inputs=as_json("input"),
    shell:
        "(set -x; cellseg preprocess {params.image:q} -o {params.folder:q} {params.acquisition}"
        " --settings {params.settings:q} --inputs {params.inputs:q} --tile-px {resources.tile_px} --workers {threads}"
        " --memory-mb $(({resources.mem_mb} / {resources.shrunk}))"
        " --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"

# Which tissue lies where: only where `tissue.enabled`, since nothing else asks for it. A map by the network also has
# tissue.probability.ome.tif, which one that a person drew has not; so it is no declared output.
# A map by the network has a tissue.probability.ome.tif beside it too, one that a person drew has none.
rule tissue:
    input:
        image=image_if_there,
        recipe=in_results("samples/{sample}/segment/recipe.json"),
        mask=in_results("samples/{sample}/segment/tissue.png"),
        weights=tissue_weights_file,
        annotation=annotation_if_there,
    output:
        map=in_results("samples/{sample}/tissue/tissue.ome.tif"),
        overlay=shown(in_results("samples/{sample}/tissue/tissue.overlay.png"), "Tissue"),
        polygons=in_results("samples/{sample}/tissue/tissue.geojson"),
        record=in_results("samples/{sample}/tissue/tissue.json"),
    log:
        in_results("logs/tissue/{sample}.log"),
    benchmark:
        in_results("benchmarks/tissue/{sample}.tsv")
    retries: 2
    conda:
        "envs/cellseg.yaml"
    threads: share_of_cores()
    resources:
        mem_mb=memory_of_tiles(4000),
        runtime=more_time(240),
        shrunk=shrunk,
        device=config["compute"]["device"],
    params:
        image=image_path,
        annotation=annotation_option,
        settings=tissue_settings,
        inputs=as_json("input", "max_decoded_mpx"),
    shell:
        "(set -x; cellseg tissue {params.image:q} -o {output.map:q} --recipe {input.recipe:q} {params.annotation}"
        " --settings {params.settings:q} --inputs {params.inputs:q} --workers {threads}"
        " --memory-mb $(({resources.mem_mb} / {resources.shrunk})) --device {resources.device}"
        " --sample {wildcards.sample:q} --placeholder) > {log:q} 2>&1"

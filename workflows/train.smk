# Weights from a lab's own labelled images; no part of `all`:
#     snakemake --cores 2 train_maskrcnn --config 'train={data: [my_images]}'
# Then segment with them: segmentation: {method: maskrcnn, maskrcnn: {weights: results/train/maskrcnn/weights.safetensors}}
rule train_maskrcnn:
    input:
        data=[local(folder) for folder in config["train"]["data"]],
    output:
        weights=in_results("train/maskrcnn/weights.safetensors"),
        log=in_results("train/maskrcnn/weights.log.csv"),
        curves=shown(in_results("train/maskrcnn/weights.curves.png"), "Training"),
    log:
        in_results("logs/train/maskrcnn.log"),
    benchmark:
        in_results("benchmarks/train/maskrcnn.tsv")
    conda:
        "envs/cellseg.yaml"
    threads: all_cores()
    resources:
        mem_mb=more_memory(8000),
        runtime=more_time(1440),
        device=config["compute"]["device"],
    params:
        options=training_options,
        settings=training_settings,
    shell:
        "(set -x; cellseg train maskrcnn {params.options} -o {output.weights:q} --settings {params.settings:q}"
        " --device {resources.device} --workers {threads} --resume) > {log:q} 2>&1"


# The same for tissues: images with masks or polygons of classes.
#     snakemake --cores 2 train_segnet --config 'train={data: [my_fields], tissue_classes: [stroma, gland]}'
# Then map with them: tissue: {enabled: true, weights: results/train/segnet/weights.safetensors}
rule train_segnet:
    input:
        data=[local(folder) for folder in config["train"]["data"]],
    output:
        weights=in_results("train/segnet/weights.safetensors"),
        log=in_results("train/segnet/weights.log.csv"),
        curves=shown(in_results("train/segnet/weights.curves.png"), "Training"),
    log:
        in_results("logs/train/segnet.log"),
    benchmark:
        in_results("benchmarks/train/segnet.tsv")
    conda:
        "envs/cellseg.yaml"
    threads: all_cores()
    resources:
        mem_mb=more_memory(8000),
        runtime=more_time(1440),
        device=config["compute"]["device"],
    params:
        options=tissue_training_options,
        settings=tissue_training_settings,
    shell:
        "(set -x; cellseg train segnet {params.options} -o {output.weights:q} --settings {params.settings:q}"
        " --device {resources.device} --workers {threads} --resume) > {log:q} 2>&1"


# A model of abnormal and healthy cells, from labelled cells of this run (`cellseg label-cells results ... -o labelled.parquet`).
#     snakemake --cores 2 train_classifier --config 'train={labels: labelled.parquet}'
# Then judge with it: classify: {model: {weights: results/train/classifier/model.safetensors}}
rule train_classifier:
    input:
        labelled=local(config["train"]["labels"]) if config["train"]["labels"] else [],
        ledger=in_results("slides.tsv"),
    output:
        model=in_results("train/classifier/model.safetensors"),
        report=in_results("train/classifier/model.report.json"),
    log:
        in_results("logs/train/classifier.log"),
    benchmark:
        in_results("benchmarks/train/classifier.tsv")
    conda:
        "envs/cellseg.yaml"
    threads: all_cores()
    resources:
        mem_mb=more_memory(8000),
        runtime=more_time(1440),
    params:
        results=subpath(input.ledger, parent=True),
        options=classifier_training_options,
        settings=classifier_training_settings,
    shell:
        "(set -x; cellseg train classifier --data {params.results:q} {params.options} -o {output.model:q}"
        " --settings {params.settings:q} --workers {threads}) > {log:q} 2>&1"

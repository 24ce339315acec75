# SPDX-License-Identifier: Apache-2.0
"""Targets, configs and jobs of the Customizer through NVIDIA's SDK. Jobs are cancelled; the flywheel finishes one."""

import time

import httpx
from datasets import upload_dataset
from recorder import PLATFORM, Recorder, client, fails_with, unique

nemo = client()
record = Recorder("customization")
space = unique("tuning")
BASE = "smollm2/smollm2-135m-instruct"
EMBEDDER = "sentence-transformers/all-MiniLM-L6-v2"
OPTION = {"training_type": "sft", "finetuning_type": "lora", "num_gpus": 1, "num_nodes": 1, "micro_batch_size": 1}
HYPER = {"training_type": "sft", "finetuning_type": "lora", "epochs": 50, "batch_size": 8, "learning_rate": 1e-3}
TARGETS, CONFIGS, JOBS = (f"/v1/customization/{kind}" for kind in ("targets", "configs", "jobs"))


def targets():
    resource = nemo.customization.targets
    with record.operation("targets.list", f"GET {TARGETS}"):
        seeded = [one for one in resource.list(filter={"namespace": "smollm2"}) if one.base_model == BASE]
        assert seeded and seeded[0].enabled and seeded[0].status == "ready", seeded
        assert resource.list(page=99).data == []
    with record.operation("targets.create", f"POST {TARGETS}"):
        fields = {"base_model": BASE, "num_parameters": 134_515_008, "precision": "bf16-mixed", "enabled": True}
        made = resource.create(name="small@1.0", namespace=space, custom_fields={"team": "a"}, **fields)
        assert made.id.startswith("customization_target-") or made.id.startswith("cust-target-"), made.id
        got = resource.retrieve("small@1.0", namespace=space)
        assert (got.base_model, got.num_parameters, got.enabled) == (BASE, 134_515_008, True), got
        with fails_with(409):
            resource.create(name="small@1.0", namespace=space, **fields)
    with record.operation("targets.retrieve", f"GET {TARGETS}/{{namespace}}/{{target_name}}"):
        assert resource.retrieve("small@1.0", namespace=space).name == "small@1.0"
        with fails_with(404):
            resource.retrieve("absent@1.0", namespace=space)
    with record.operation("targets.update", f"PATCH {TARGETS}/{{namespace}}/{{target_name}}"):
        resource.update("small@1.0", namespace=space, description="changed")
        got = resource.retrieve("small@1.0", namespace=space)
        assert (got.description, got.num_parameters) == ("changed", 134_515_008), got
    with record.operation("targets.delete", f"DELETE {TARGETS}/{{namespace}}/{{target_name}}"):
        resource.create(name="gone@1.0", namespace=space, base_model=BASE, num_parameters=1000, precision="bf16-mixed")
        resource.delete("gone@1.0", namespace=space)
        with fails_with(404):
            resource.retrieve("gone@1.0", namespace=space)


def configs():
    resource = nemo.customization.configs
    with record.operation("configs.list", f"GET {CONFIGS}"):
        first = resource.list().data[0]
        assert "@" in first.name and first.training_options, first
        assert BASE in [one.target.base_model for one in resource.list(page_size=1)]
    with record.operation("configs.create", f"POST {CONFIGS}"):
        resource.create(
            name="mine@v1",
            namespace=space,
            target=f"{space}/small@1.0",
            max_seq_length=512,
            prompt_template="Q: {question} A: {answer}",
            training_options=[OPTION],
        )
        got = resource.retrieve("mine@v1", namespace=space)
        assert (got.max_seq_length, got.prompt_template) == (512, "Q: {question} A: {answer}"), got
        assert got.training_options[0].finetuning_type == "lora", got
        with fails_with(409):
            resource.create(
                name="mine@v1", namespace=space, target=f"{space}/small@1.0", max_seq_length=512, training_options=[OPTION]
            )
    with record.operation("configs.retrieve", f"GET {CONFIGS}/{{namespace}}/{{config_name}}"):
        assert resource.retrieve("mine@v1", namespace=space).id.startswith("customization_config-")
        with fails_with(404):
            resource.retrieve("absent@v1", namespace=space)
    with record.operation("configs.update", f"PATCH {CONFIGS}/{{namespace}}/{{config_name}}"):
        resource.update("mine@v1", namespace=space, max_seq_length=256, description="changed")
        got = resource.retrieve("mine@v1", namespace=space)
        assert (got.max_seq_length, got.description) == (256, "changed"), got
        assert got.prompt_template == "Q: {question} A: {answer}", got
    with record.operation("configs.delete", f"DELETE {CONFIGS}/{{namespace}}/{{config_name}}"):
        resource.create(
            name="gone@v1", namespace=space, target=f"{space}/small@1.0", max_seq_length=512, training_options=[OPTION]
        )
        resource.delete("gone@v1", namespace=space)
        with fails_with(404):
            resource.retrieve("gone@v1", namespace=space)


def until(job_id: str, wanted: tuple, seconds: float):
    end = time.monotonic() + seconds
    while (status := nemo.customization.jobs.status(job_id)).status not in wanted:
        assert time.monotonic() < end, f"{job_id} is {status.status} after {seconds} s"
        assert status.status not in ("failed", "completed"), status.status_logs
        time.sleep(0.5)
    return status


def jobs():
    resource = nemo.customization.jobs
    dataset = upload_dataset(nemo, space, "rows", [{"prompt": f"Say {n}.", "completion": f" {n}."} for n in range(64)])
    config = nemo.customization.configs.list().data[0]
    config_name = f"{config.namespace}/{config.name}"
    made = {}

    def create(**changes):
        return resource.create(
            **{"config": config_name, "dataset": dataset, "hyperparameters": HYPER, "namespace": space, **changes}
        )

    with record.operation("jobs.create", f"POST {JOBS}"):
        job = create(output_model=f"{space}/tuned@v1", description="one")
        made["job"] = job
        assert job.id.startswith("cust-") and job.status in ("created", "pending", "running"), job
        got = resource.retrieve(job.id)
        assert (got.output_model, got.dataset, got.config) == (f"{space}/tuned@v1", f"{space}/rows", config_name), got
        assert (got.hyperparameters.epochs, got.hyperparameters.batch_size) == (50, 8), got.hyperparameters
        with fails_with(404):
            create(config="absent/config@v1")
    if "job" not in made:
        return
    job_id = made["job"].id
    with record.operation("jobs.retrieve", f"GET {JOBS}/{{job_id}}"):
        got = resource.retrieve(job_id)
        assert (got.id, got.description, got.namespace) == (job_id, "one", space), got
        with fails_with(404):
            resource.retrieve("cust-absent")
    with record.operation("jobs.status", f"GET {JOBS}/{{job_id}}/status"):
        status = resource.status(job_id)
        assert status.status_logs[0].message == "created" and status.percentage_done >= 0, status
        status = until(job_id, ("running",), 900)
        end = time.monotonic() + 240
        while status.steps_completed == 0:
            assert time.monotonic() < end, f"no step in 240 s: {status}"
            time.sleep(1)
            status = resource.status(job_id)
        assert status.steps_per_epoch == 8, status
    with record.operation("jobs.list", f"GET {JOBS}"):
        second = create(output_model=f"{space}/queued@v1")
        made["second"] = second
        mine = [one.id for one in resource.list(filter={"namespace": space}, sort="-created_at")]
        assert mine == [second.id, job_id], mine
        assert job_id in [one.id for one in resource.list(page_size=1)]
    if "second" in made:
        with record.operation("legacy cancel of a queued job", "POST /v1/customizations/{id}/cancel"):
            answer = httpx.post(f"{PLATFORM}/v1/customizations/{made['second'].id}/cancel", timeout=60)
            assert answer.status_code == 200, answer.text
            until(made["second"].id, ("cancelled",), 30)
    with record.operation("jobs.cancel", f"POST {JOBS}/{{job_id}}/cancel"):
        begun = time.monotonic()
        assert resource.cancel(job_id).status in ("cancelling", "cancelled")
        until(job_id, ("cancelled",), 30)
        assert time.monotonic() - begun < 10, f"took {time.monotonic() - begun:.1f} s"
        assert f"{space}/tuned@v1" not in [f"{one.namespace}/{one.name}" for one in nemo.models.list()]
        with fails_with(409):
            resource.cancel(job_id)
        assert resource.status(job_id).status == "cancelled"
        with fails_with(404):
            resource.cancel("cust-absent")
    with record.operation("jobs.container_logs", f"GET {JOBS}/{{job_id}}/container-logs"):
        logs = resource.container_logs(job_id)
        assert logs.entries and "step" in str(logs.model_dump()).lower(), logs
    kinds(create)
    embeddings(create)
    refusals(create)


def kinds(create):
    """Each kind of training beside plain LoRA, from its data to an answer."""
    pairs = upload_dataset(
        nemo, space, "pairs",
        [{"prompt": f"Say {n}.", "chosen_response": f" {n}.", "rejected_response": " No."} for n in range(8)],
    )  # fmt: skip
    for name, changes, more in (
        ("DPO", {"training_type": "dpo", "dpo": {"ref_policy_kl_penalty": 0.1}}, {"dataset": pairs}),
        ("merged output", {"finetuning_type": "lora_merged", "sequence_packing_enabled": True}, {}),
        ("all weights", {"finetuning_type": "all_weights"}, {}),
    ):
        with record.operation(f"jobs.create: {name}", f"POST {JOBS}"):
            output = f"{space}/{name.lower().replace(' ', '-')}@v1"
            short = {**HYPER, "epochs": 1, "max_steps": 2, "batch_size": 4, **changes}
            job = create(output_model=output, hyperparameters=short, **more)
            assert not job.warnings or "validation" in str(job.warnings), job.warnings
            until(job.id, ("completed",), 1200)
            model = nemo.models.retrieve(output.partition("/")[2], namespace=space)
            assert (model.peft is not None) == (name == "DPO"), model
            assert model.artifact.status == "upload_completed" and model.base_model == BASE, model
            chat = [{"role": "user", "content": "What is the capital of France?"}]
            answer = nemo.chat.completions.create(model=output, messages=chat, max_tokens=12)
            assert answer.choices[0].message.content.strip(), answer


def embeddings(create):
    """An embedding model, from rows of queries and documents to vectors of its own."""
    cities = ("Paris", "Rome", "Oslo", "Lima", "Cairo", "Quito", "Minsk", "Dhaka")
    docs = [f"{city} has a river." for city in cities]
    rows = [
        {"query": f"river of {city}", "pos_doc": docs[i], "neg_doc": [docs[i - 1], docs[i - 2]]}
        for i, city in enumerate(cities)
    ]
    dataset, config = upload_dataset(nemo, space, "rivers", rows), f"{EMBEDDER}@v1.0.0+cpu"
    hyper = {"training_type": "sft", "finetuning_type": "all_weights", "epochs": 2, "batch_size": 8}
    with record.operation("jobs.create: an embedding model", f"POST {JOBS}"):
        output, negatives = f"{space}/embedder@v1", {"num_hard_negatives": 1, "in_batch_negatives": True}
        job = create(
            config=config, dataset=dataset, output_model=output, hyperparameters=hyper, dataset_parameters=negatives
        )
        assert job.dataset_parameters.num_hard_negatives == 1, job
        until(job.id, ("completed",), 1200)
        model = nemo.models.retrieve("embedder@v1", namespace=space)
        assert (model.peft, model.base_model, model.artifact.status) == (None, EMBEDDER, "upload_completed"), model
        ask = nemo.with_options(timeout=300, max_retries=5).embeddings.create
        tuned, base = (ask(model=name, input=docs[:1], input_type="passage").data[0].embedding for name in (output, EMBEDDER))
        cosine = sum(a * b for a, b in zip(tuned, base, strict=True))
        assert len(tuned) == 384 and 0 < cosine < 0.99999, cosine
    with record.operation("an embedding model's rows that cannot be used are named", f"POST {JOBS}"):
        broken = upload_dataset(nemo, space, "broken-rivers", [rows[0], {**rows[1], "neg_doc": ["", "x"]}])
        job = create(config=config, dataset=broken, output_model=f"{space}/never@v1", hyperparameters=hyper)
        said = str(until(job.id, ("failed",), 300).model_dump())
        assert "rows.jsonl, line 2" in said and "neg_doc[0]" in said, said
    with record.operation("targets.create, configs.create: an embedding model", f"POST {TARGETS}", f"POST {CONFIGS}"):
        nemo.customization.targets.create(
            name="embedder@1.0", namespace=space, base_model=EMBEDDER, num_parameters=22_713_216, precision="fp32",
            enabled=True,
        )  # fmt: skip
        option = {**OPTION, "finetuning_type": "all_weights"}
        made = nemo.customization.configs.create(
            name="embedder@v1", namespace=space, target=f"{space}/embedder@1.0", max_seq_length=64,
            training_options=[option],
        )  # fmt: skip
        assert made.target.base_model == EMBEDDER, made
        nemo.customization.configs.delete("embedder@v1", namespace=space)
    for name, changes in {"LoRA": {"finetuning_type": "lora"}, "DPO": {"training_type": "dpo"}}.items():
        wrong = lambda changes=changes: create(config=config, dataset=dataset, hyperparameters={**hyper, **changes})
        record.refused(f"jobs.create: {name} of an embedding model", wrong, f"POST {JOBS}")


def refusals(create):
    with record.operation("bad data is refused, naming file and line", f"POST {JOBS}"):
        broken = upload_dataset(nemo, space, "broken", [{"prompt": "a", "completion": "b"}, '{"prompt": "a", "compl\n'])
        try:
            job = create(dataset=broken, output_model=f"{space}/broken@v1")
            end = time.monotonic() + 120
            while (status := nemo.customization.jobs.status(job.id)).status != "failed":
                assert time.monotonic() < end and status.status not in ("running", "completed"), status
                time.sleep(0.5)
            said = str(status.model_dump())
        except Exception as error:
            said = str(error)
        assert "rows.jsonl" in said and "2" in said, said
    for name, changes in {
        "distillation": {"training_type": "distillation"},
        "GRPO": {"training_type": "grpo"},
    }.items():
        record.refused(f"jobs.create: {name}", lambda changes=changes: create(hyperparameters={**HYPER, **changes}), f"POST {JOBS}")


nemo.namespaces.create(id=space)
targets()
configs()
jobs()
record.done()

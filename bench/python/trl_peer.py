# SPDX-License-Identifier: Apache-2.0
"""A plain TRL script on a job's data and seed: `trl_peer.py <job.json>` prints one JSON object."""

import json
import sys
import tempfile

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

with open(sys.argv[1], encoding="utf-8") as file:
    job = json.load(file)
hp = job["hyperparameters"]
torch.set_num_threads(job["threads"])

tokenizer = AutoTokenizer.from_pretrained(job["model_dir"])
with open(job["chat_template_file"], encoding="utf-8") as file:
    tokenizer.chat_template = file.read()
# TRL's loss on the completion alone wants prompt and completion apart.
data = load_dataset("json", data_files=job["training_files"], split="train").map(
    lambda row: {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}, remove_columns=["messages"]
)
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(job["model_dir"], dtype=torch.bfloat16 if job["bf16"] else torch.float32),
    args=SFTConfig(
        output_dir=tempfile.mkdtemp(),
        num_train_epochs=hp["epochs"],
        per_device_train_batch_size=hp["batch_size"],
        learning_rate=hp["learning_rate"],
        lr_scheduler_type="cosine",
        seed=job["seed"],
        max_length=job["max_seq_length"],
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        # TRL's default trades a third of the speed for memory, which this model does not need.
        gradient_checkpointing=False,
        bf16=job["bf16"],
        disable_tqdm=True,
    ),
    train_dataset=data,
    processing_class=tokenizer,
    peft_config=LoraConfig(
        r=hp["lora"]["adapter_dim"],
        lora_alpha=hp["lora"]["alpha"],
        target_modules=hp["lora"]["target_modules"],
        task_type="CAUSAL_LM",
    ),
)
metrics = trainer.train().metrics
rows = len(data) * hp["epochs"]
print(json.dumps({"rows_per_s": rows / metrics["train_runtime"], "train_loss": metrics["train_loss"]}))

# SPDX-License-Identifier: Apache-2.0
"""Scores of the reference libraries for the texts on standard input; the bench compares ours with them."""

import json
import sys

from rouge_score import rouge_scorer
from sacrebleu import corpus_bleu, sentence_bleu

ROUGE = {"rouge1": "rouge_1_score", "rouge2": "rouge_2_score", "rouge3": "rouge_3_score", "rougeL": "rouge_L_score"}
scorer = rouge_scorer.RougeScorer(list(ROUGE), use_stemmer=True)
cases = json.load(sys.stdin)
rows = []
for case in cases:
    found = scorer.score(case["references"][0], case["candidate"])
    rows.append(
        {
            "sentence_bleu": sentence_bleu(case["candidate"], case["references"]).score,
            **{name: found[key].fmeasure for key, name in ROUGE.items()},
        }
    )
candidates = [case["candidate"] for case in cases]
references = [[case["references"][i] for case in cases] for i in range(2)]
json.dump({"rows": rows, "corpus_bleu": corpus_bleu(candidates, references).score}, sys.stdout)

# SPDX-License-Identifier: Apache-2.0
"""trec_eval's measures of the rankings on standard input, by pytrec_eval; the bench compares ours with them."""

import json
import sys

import pytrec_eval

given = json.load(sys.stdin)
evaluator = pytrec_eval.RelevanceEvaluator(given["judged"], set(given["ask"]))
found = evaluator.evaluate(given["runs"])
json.dump({query: {name: values[name] for name in given["read"]} for query, values in found.items()}, sys.stdout)

# SPDX-License-Identifier: Apache-2.0
"""LoRA fine-tuning of causal language models, one job folder at a time."""

__version__ = "0.1.0"

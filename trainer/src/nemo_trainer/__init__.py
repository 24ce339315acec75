# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning of language and embedding models, one job folder at a time."""

__version__ = "0.1.0"

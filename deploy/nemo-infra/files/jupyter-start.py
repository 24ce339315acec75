# SPDX-License-Identifier: Apache-2.0
"""Puts the notebook into the home directory, unless one of that name is there already, and starts JupyterLab."""

import os
import shutil
from pathlib import Path

# The image brings it; another image may have none.
SOURCE = Path("/opt/open-nemo/notebooks/flywheel.ipynb")


def main(env):
    target = Path(env["HOME"]) / SOURCE.name
    if SOURCE.exists() and not target.exists():
        shutil.copyfile(SOURCE, target)
    # The token comes in JUPYTER_TOKEN, so that no list of processes shows it.
    options = ["--ip=0.0.0.0", "--port=8888", "--no-browser", f"--ServerApp.root_dir={env['HOME']}"]
    os.execvpe("jupyter", ["jupyter", "lab", *options], env)


if __name__ == "__main__":
    main(dict(os.environ))

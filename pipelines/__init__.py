"""The stage scripts, the workflow that orders them, and what each data set differs in."""

import sys

from panrecon.terminal import exit_on_missing_package

if sys.argv[:1] == ["-m"]:  # as long as Python is looking for the module to run, here a stage
    sys.excepthook = exit_on_missing_package

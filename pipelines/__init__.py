"""The stage scripts, the workflow that orders them, and what each data set differs in."""

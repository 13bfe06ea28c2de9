"""From estimates and parameters to findings: sentences with the value, the effect, and the settings that repair it."""

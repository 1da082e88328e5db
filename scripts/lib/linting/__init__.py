"""The checks of scripts/lint. Each gives findings: file, line, what is wrong there."""

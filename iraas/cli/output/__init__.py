"""The output of the command line: tables, progress and saved files."""

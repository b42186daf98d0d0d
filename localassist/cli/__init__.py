"""The command line: parse, call, print. Knows no HTTP and no storage."""

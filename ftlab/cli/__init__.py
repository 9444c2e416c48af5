"""The command line: arguments into calls, faults into one line. Everything else is below it."""

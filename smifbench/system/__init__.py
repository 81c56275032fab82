"""What every other room stands on: files, identity, devices, memory, precision, signals."""

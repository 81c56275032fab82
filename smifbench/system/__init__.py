"""Files, hashes, devices, memory, precision and signals; imports no other room."""

"""Wald's protocol: from prepared scenes to the pairs that methods fuse, and back from a pair to its operators."""

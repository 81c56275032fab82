"""Wald's protocol: prepared scenes are degraded to pairs, and a pair's PSF and response are estimated."""

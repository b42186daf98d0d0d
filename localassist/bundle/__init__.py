"""Everything localassist needs on one disk, for machines without a network.

``create`` packs a bundle, ``verify`` checks one, ``install`` installs from one. What an installer
runs (``files``, ``manifest``, ``verify``, ``tar``, ``signature``, ``machine``, ``install``) imports
nothing but the standard library: it runs out of localassist's own wheel, before anything is there.
"""

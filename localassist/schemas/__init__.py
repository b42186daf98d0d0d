"""The wire types of the API: what callers send, what they get back, and the words of refusals.

One module per resource, plus ``base`` (what all share), ``errors`` (bytes → body, or the hosted
API's error), ``events`` (names and deltas of a stream) and ``v1`` (the older shape of every
object). Import from the modules. Knows neither HTTP nor storage.
"""

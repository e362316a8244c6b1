"""The local network: addresses, the name on it, QR codes, and certificates of our own.

It knows nothing of pages, keys or models.
"""

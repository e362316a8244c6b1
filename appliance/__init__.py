"""The appliance: an engine that fits itself to the card, a gateway with keys, a ledger."""

VERSION = "0.1.0"

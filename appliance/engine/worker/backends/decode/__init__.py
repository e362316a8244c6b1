"""The short way through a step in which every request goes one token further."""

"""What the studio can do, as plain functions: a ``Workspace`` first, frozen dataclasses back, ``StudioError`` if not.

Ids are database ids. Every function opens its own session and every change is one committed transaction.
"""

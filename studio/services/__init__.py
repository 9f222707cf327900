"""What the studio can do, as plain functions: a ``Workspace`` first, frozen dataclasses back, ``StudioError`` when it cannot be done.

Ids are database ids. Every function opens its own session and every change is one committed transaction.
"""

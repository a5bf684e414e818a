"""The Control service's messages, encoded and decoded by hand.

A build needs four of them; importing the generated stubs for these would cost more time than a cached build
takes. The tests hold them against the stubs.
"""

"""The real program against a server that misbehaves by script: killed, stopped, failing, and what it leaves."""

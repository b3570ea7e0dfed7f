"""Trainers of language models on this machine, each in a child process of its own: what the emulator trains with.

An engine knows rows, hyper-parameters and files; it knows no platform, no HTTP and no task. `spec` and `rows` are the
contract, `backend` is what an engine has to be, `worker` is the child process.
"""

"""
Two services that work off what a third one announces: examples/queue-rabbitmq and queue-kafka.

Each has a queue (or consumer group) of its own, in which orders wait while it is away. An order
is done when its work is; until then it may come again, and is not done twice for it. What nobody
can read is put aside.
"""

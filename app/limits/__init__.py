"""How much may be under way: for one caller, for one service, and in bytes.

Rule of this room: a limit refuses at once or after a short, bounded wait; nothing queues without an end, and nothing
that a killed process held stays held. Two kinds of limit:

- of the host: `table.Table` is memory that all processes of one gunicorn share, each writing to words of its own;
- of a process: its threads (`bulkheads`) and the bodies that it holds (`bodies`).
"""

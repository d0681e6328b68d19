"""asyncio for a plug of 1 MB: tasks and sleep, as much as this firmware uses, nothing else.

The stock 1 MB image has the C half of asyncio (Task and TaskQueue) but not the Python half, which
would have to be loaded into the heap: 2.6 KB even without what waits for streams, this 1.1 KB.
Stands in for the library under its name, so the firmware is the same where the library is frozen.
The names `cur_task`, `_task_queue` and `CancelledError` are those that the C half looks for here.
"""

import sys
from time import sleep_ms as _rest
from time import ticks_add, ticks_diff, ticks_ms

from _asyncio import Task, TaskQueue


class CancelledError(BaseException):
    """Thrown into a task by its `cancel`."""


class _Pause:
    # Yields once. There is one of them, so that sleeping takes nothing from the heap.
    end = None
    stop = StopIteration()

    def __iter__(self):
        return self

    def __next__(self):
        if self.end is None:
            self.stop.__traceback__ = None
            raise self.stop
        _task_queue.push(cur_task, self.end)
        self.end = None


_pause = _Pause()
_task_queue = TaskQueue()
cur_task = None


def sleep_ms(ms):
    """To be awaited: let others run for `ms` milliseconds."""
    _pause.end = ticks_add(ticks_ms(), max(0, ms))
    return _pause


def create_task(coro):
    """Have `coro` run beside the others; returns its Task, which knows done() and cancel()."""
    task = Task(coro, globals())
    _task_queue.push(task)
    return task


def run(coro):
    """Run `coro` and all tasks until it ends; returns or raises what it did.

    A task that fails is printed and over; what is no Exception ends everything.
    """
    global cur_task
    main = create_task(coro)
    while True:
        left = ticks_diff(_task_queue.peek().ph_key, ticks_ms())
        if left > 0:
            _rest(left)
            continue
        cur_task = task = _task_queue.pop()
        thrown = task.data
        task.data = None
        try:
            if thrown:
                task.coro.throw(thrown)
            else:
                task.coro.send(None)
        except (CancelledError, Exception) as error:
            if task is main:
                # The C half keeps these globals until there is another Task, and a coroutine all
                # that it ever had: the next run would not find the room to start.
                cur_task = None
                while _task_queue.peek():
                    _task_queue.pop()
                if isinstance(error, StopIteration):
                    return error.value
                raise
            if not isinstance(error, (CancelledError, StopIteration)):
                sys.print_exception(error)
            task.data = error
            task.state = None  # done

"""Tasks: three lanes, workers in processes of their own, and nothing lost.

queue_manager = await get_queue_manager(QueueType.REDIS)
await queue_manager.register_task_handler("process_medical_request", handler)
task_id = await queue_manager.enqueue_task(
    "process_medical_request", {"user_id": "123"}, priority=TaskPriority.HIGH
)
await queue_manager.start_workers(worker_count=4)

@async_task(queue="high_priority", priority=TaskPriority.HIGH)
async def schedule_medical_resource(user_id: str, requirements: dict): ...
"""

from .aside import own_process
from .context import TaskContext
from .counts import QueueCounts
from .declared import Declared, async_task
from .door import get_queue_manager
from .events import (
    CompletionRefused,
    FiringsMissed,
    QueueCutOff,
    QueueReached,
    ScheduleFired,
    ScheduleUnreadable,
    ShedChanged,
    TaskDied,
    TasksMended,
    TasksStranded,
    TasksTakenBack,
    TaskTimedOut,
    WorkerLost,
    WorkerRecycled,
    WorkerStalled,
    WorkerStarted,
    WorkerStopped,
)
from .flowing import Flow
from .guards import Rate, Slot, Unique, UniqueScope
from .manager import QueueManager
from .model import LaneWeights, QueueConfig, QueueType, Task, TaskPriority, TaskState
from .patience import ErrorRule, RetryPolicy
from .ports import Audit
from .schedule import Schedule, ScheduleRecord
from .sights import WorkerReport, WorkerSight, WorkerState
from .timetable import Cron, Every
from .views import DeadLetter, Explanation, QueueStats, Which
from .workforce import WorkPlan

__all__ = [
    "Audit",
    "CompletionRefused",
    "Cron",
    "DeadLetter",
    "Declared",
    "ErrorRule",
    "Every",
    "Explanation",
    "FiringsMissed",
    "Flow",
    "LaneWeights",
    "QueueConfig",
    "QueueCounts",
    "QueueCutOff",
    "QueueManager",
    "QueueReached",
    "QueueStats",
    "QueueType",
    "Rate",
    "RetryPolicy",
    "Schedule",
    "ScheduleFired",
    "ScheduleRecord",
    "ScheduleUnreadable",
    "ShedChanged",
    "Slot",
    "Task",
    "TaskContext",
    "TaskDied",
    "TaskPriority",
    "TaskState",
    "TaskTimedOut",
    "TasksMended",
    "TasksStranded",
    "TasksTakenBack",
    "Unique",
    "UniqueScope",
    "Which",
    "WorkPlan",
    "WorkerLost",
    "WorkerRecycled",
    "WorkerReport",
    "WorkerSight",
    "WorkerStalled",
    "WorkerStarted",
    "WorkerState",
    "WorkerStopped",
    "async_task",
    "get_queue_manager",
    "own_process",
]

-- enqueue: put tasks in, each once.
-- idempotent: an id that is known (waiting, running, dead, or over with its result kept)
-- is not put in again.
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 queue, 2… tasks, four words each: id, lane, delay in ms or '=' and the ms of
--       wall time at which it is due, envelope
-- returns for each task 1 (put in), 0 (known), or the id of the task that has its unique
--       key
-- clock: server
-- include server_time
-- include ring
-- include put_ready
-- include guards
-- include unique
local base, queue = KEYS[1], ARGV[1]
-- include put_in
local ids, known, _ = look_up(2)
return put_in_tasks(2, ids, known)

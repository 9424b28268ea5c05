-- knows: did a worker that lives say lately that it can do this task?
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 name of the task, 2 what was said is fresh for so many ms
-- returns 1 | 0
-- clock: server
-- include server_time
local said = redis.call('ZSCORE', KEYS[1] .. 'can', ARGV[1])
return (said and tonumber(said) >= now - tonumber(ARGV[2])) and 1 or 0

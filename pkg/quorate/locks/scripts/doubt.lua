-- doubt: ask a process to note anew what it waits for.
-- idempotent
-- KEYS  1 sessions        ARGV  1 session of the process, 2 who doubts and a number
-- returns how many have heard it
-- clock: none
-- include keys
return redis.call('PUBLISH', base .. 'doubt:' .. ARGV[1], ARGV[2])

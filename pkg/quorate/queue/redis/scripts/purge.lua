#!lua flags=allow-oom
-- purge: dead letters are forgotten.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1… ids
-- returns how many
-- include guards
-- include bury_task
local base, ids = KEYS[1], {}
for n = 1, #ARGV do
  if redis.call('ZSCORE', base .. 'dead', ARGV[n]) then
    ids[#ids + 1] = ARGV[n]
  end
end
local count = forget_dead(base, ids)
let_rest(base)
return count

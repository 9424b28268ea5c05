-- latch: count a participant once, or only look.
-- idempotent
-- KEYS  1 sessions        ARGV  1 name, 2 participant or '', 3 kept so many ms
-- returns how many have been counted
-- clock: none
-- include keys
local key = base .. 'd:' .. ARGV[1]
if ARGV[2] ~= '' and redis.call('SADD', key, ARGV[2]) == 1 then
  redis.call('PUBLISH', base .. 'on:' .. ARGV[1], '')
end
redis.call('PEXPIRE', key, ARGV[3])
return redis.call('SCARD', key)

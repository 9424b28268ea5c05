#!lua flags=allow-oom
-- purge: dead letters are forgotten.
-- idempotent
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 at most so many if no ids follow, 2… ids
-- returns how many
local base, ids = KEYS[1], {}
if #ARGV > 1 then
  for n = 2, #ARGV do
    if redis.call('ZSCORE', base .. 'dead', ARGV[n]) then
      ids[#ids + 1] = ARGV[n]
    end
  end
else
  ids = redis.call('ZRANGE', base .. 'dead', 0, tonumber(ARGV[1]) - 1)
end
if #ids > 0 then
  redis.call('ZREM', base .. 'dead', unpack(ids))
  redis.call('HDEL', base .. 'err', unpack(ids))
  redis.call('HDEL', base .. 'att', unpack(ids))
  redis.call('HDEL', base .. 'job', unpack(ids))
end
return #ids

-- revive: dead letters go back to the end of their lanes with a clean record.
-- idempotent: what is not dead is left alone
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 queue, 2 at most so many if no ids follow, 3… ids
-- returns how many
-- include ring
-- include put_ready
local base, ids = KEYS[1], {}
if #ARGV > 2 then
  for n = 3, #ARGV do
    if redis.call('ZSCORE', base .. 'dead', ARGV[n]) then
      ids[#ids + 1] = ARGV[n]
    end
  end
else
  ids = redis.call('ZRANGE', base .. 'dead', 0, tonumber(ARGV[2]) - 1)
end
if #ids == 0 then
  return 0
end
local ready = new_lanes()
for n, note in ipairs(redis.call('HMGET', base .. 'err', unpack(ids))) do
  local lane = ready[string.match(note or '', '"lane":(%d)}$') or '1']
  lane[#lane + 1] = ids[n]
end
redis.call('ZREM', base .. 'dead', unpack(ids))
redis.call('HDEL', base .. 'err', unpack(ids))
redis.call('HDEL', base .. 'att', unpack(ids))
local count = put(base, 'RPUSH', ready)
ring(base, ARGV[1], count, #ready['0'] > 0)
return count

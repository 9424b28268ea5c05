-- take_up: tasks that were set aside because their service was down go into their lanes.
-- idempotent: what was taken up is not there any more
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 queue, 2 service, 3 at most so many
-- returns how many
-- include ring
-- include put_ready
-- include held
local base, score = KEYS[1], string.format('%.0f', held_until(ARGV[2]))
local found = redis.call('ZRANGEBYSCORE', base .. 'due', score, score, 'LIMIT', 0, ARGV[3])
if #found < tonumber(ARGV[3]) then
  redis.call('SREM', base .. 'held', ARGV[2])
end
if #found == 0 then
  return 0
end
local ready = new_lanes()
for _, member in ipairs(found) do
  local ids = ready[string.sub(member, 1, 1)]
  ids[#ids + 1] = string.sub(member, 3)
end
redis.call('ZREM', base .. 'due', unpack(found))
local count = put(base, 'RPUSH', ready)
ring(base, ARGV[1], count, #ready['0'] > 0)
return count

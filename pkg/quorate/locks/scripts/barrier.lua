-- barrier: arrive, or leave again. Arriving again with the same attempt is looking.
-- The hash has g the last generation that passed, w:<participant> who waits
-- (attempt, session) and p:<participant> who passed (attempt, generation).
-- idempotent
-- KEYS  1 sessions
-- ARGV  1 name, 2 participant, 3 attempt, 4 session, 5 parties, or 0 to leave,
--       6 kept so many ms
-- returns {'passed', generation} | {'waiting', how many wait} | {'dead', 0}
-- clock: server
-- include keys
-- include granting
-- include room
local key, me, attempt = base .. 'b:' .. ARGV[1], ARGV[2], ARGV[3]
local parties = tonumber(ARGV[5])
local passed = fields(redis.call('HGET', key, 'p:' .. me) or '')
if passed[1] == attempt then
  return {'passed', tonumber(passed[2])}
end
if parties == 0 then
  if fields(redis.call('HGET', key, 'w:' .. me) or '')[1] == attempt then
    redis.call('HDEL', key, 'w:' .. me)
  end
  return {'waiting', 0}
end
if not is_alive(ARGV[4]) then
  return {'dead', 0}
end
redis.call('HSET', key, 'w:' .. me, lines(attempt, ARGV[4]))
redis.call('PEXPIRE', key, ARGV[6])

local waiting, old = {}, {}
local generation = tonumber(redis.call('HGET', key, 'g') or '0') + 1
local all = redis.call('HGETALL', key)
for at = 1, #all, 2 do
  local field, is = all[at], fields(all[at + 1])
  local kind = string.sub(field, 1, 2)
  if kind == 'w:' then
    if is_alive(is[2]) then
      waiting[#waiting + 1] = {string.sub(field, 3), is[1]}
    else
      redis.call('HDEL', key, field)
    end
  elseif kind == 'p:' and tonumber(is[2]) < generation - 2 then
    old[#old + 1] = field
  end
end
if #waiting < parties then
  return {'waiting', #waiting}
end
for _, field in ipairs(old) do
  redis.call('HDEL', key, field)
end
for _, one in ipairs(waiting) do
  redis.call('HDEL', key, 'w:' .. one[1])
  redis.call('HSET', key, 'p:' .. one[1], lines(one[2], digits(generation)))
end
redis.call('HSET', key, 'g', digits(generation))
redis.call('PUBLISH', base .. 'on:' .. ARGV[1], '')
return {'passed', generation}

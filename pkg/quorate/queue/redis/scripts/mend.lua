#!lua flags=allow-oom
-- mend: of these tasks, put back those that are in no place at all, or whose owner is
-- dead and not listed for taking back.
-- idempotent
-- KEYS  1 sessions, 2 the queue's keys (prefix)
-- ARGV  1 queue, 2… ids
-- returns the ids that were put back
-- clock: server
-- include server_time
-- include ring
-- include put_ready
-- include guards
local base, mended = KEYS[2], {}
local back = new_lanes()
for n = 2, #ARGV do
  local id = ARGV[n]
  local owner = redis.call('HGET', base .. 'own', id)
  local placed = redis.call('HEXISTS', base .. 'job', id) == 0
    or redis.call('ZSCORE', base .. 'dead', id)
  local lane = '1'
  if owner and not placed then
    local session, last = string.match(owner, '^(.*)|%d+|(%d)|%d$')
    local ends = session and redis.call('ZSCORE', KEYS[1], session)
    placed = (ends and tonumber(ends) > now)
      or (session and redis.call('SISMEMBER', base .. 'mine:' .. session, id) == 1)
    lane = last or lane
  else
    local gate = redis.call('HGET', base .. 'parked', id)
    for candidate = 0, 2 do
      placed = placed or (gate and redis.call('ZSCORE', base .. 'park:' .. gate,
        candidate .. ':' .. id))
        or redis.call('ZSCORE', base .. 'due', candidate .. ':' .. id)
        or redis.call('LPOS', base .. 'r' .. candidate, id)
    end
  end
  if not placed then
    redis.call('HDEL', base .. 'own', id)
    redis.call('HDEL', base .. 'parked', id)
    local ready = back[lane]
    ready[#ready + 1] = id
    mended[#mended + 1] = id
  end
end
local guards = new_guards(base, KEYS[1], time[1] * 1000000 + time[2])
local count = unguard(guards, mended, {}) + put(base, 'LPUSH', back)
if count > 0 then
  ring(base, ARGV[1], count, #back['0'] > 0)
end
return mended

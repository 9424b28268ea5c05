#!lua flags=allow-oom
-- roll_call: compare what a worker believes to have with what is claimed for it. What it
-- does not know of goes back to its lane, unless it is in an answer that it has not had.
-- If more than one answer lies between, this call was overtaken, and does nothing.
-- idempotent
-- KEYS  1 sessions, 2 the queue's keys (prefix)
-- ARGV  1 session, 2 queue, 3 names are fresh for so many ms, 4 and 5 the last numbers
--       answered to its two exchangers, 6 how many ids, 7… ids, then names of tasks
-- returns {alive, how many went back, ids it has lost, ids not wanted any more, names that
--          live workers know}
-- clock: server
-- include server_time
-- include ring
-- include put_ready
-- include guards
local session, base, count = ARGV[1], KEYS[2], tonumber(ARGV[6])
local ends = redis.call('ZSCORE', KEYS[1], session)
if not ends or tonumber(ends) <= now then
  return {0, 0, {}, {}, {}}
end
local known, mine, lost, returned, unwanted, freed = {}, {}, {}, {}, {}, {}
for n = 7, 6 + count do
  known[ARGV[n]] = true
end
for exchanger = 0, 1 do
  local memory = redis.call('HGET', base .. 'cfg', 'x:' .. session .. ':' .. exchanger)
  if memory then
    local lines = string.gmatch(memory, '[^\n]+')
    local ahead = tonumber(lines()) - tonumber(ARGV[4 + exchanger])
    if ahead > 1 then
      return {1, 0, {}, {}, {}}
    elseif ahead == 1 then
      for id in lines do
        known[id] = true
      end
    end
  end
end
local back = new_lanes()
for _, id in ipairs(redis.call('SMEMBERS', base .. 'mine:' .. session)) do
  mine[id] = true
  if not known[id] then
    local owner = redis.call('HGET', base .. 'own', id) or ''
    local who, lane = string.match(owner, '^(.*)|%d+|(%d)|%d$')
    if who == session then
      redis.call('HDEL', base .. 'own', id)
      local ready = back[lane]
      ready[#ready + 1] = id
      freed[#freed + 1] = id
    end
    redis.call('SREM', base .. 'mine:' .. session, id)
    returned[#returned + 1] = id
  end
end
for n = 7, 6 + count do
  if not mine[ARGV[n]] then
    lost[#lost + 1] = ARGV[n]
  end
end
local guards = new_guards(base, KEYS[1], time[1] * 1000000 + time[2])
local ready = unguard(guards, freed, {}) + put(base, 'LPUSH', back)
if ready > 0 then
  ring(base, ARGV[2], ready, #back['0'] > 0)
end
redis.call('ZREMRANGEBYSCORE', base .. 'stop', '-inf', now - 3600000)
for _, id in ipairs(redis.call('ZRANGE', base .. 'stop', 0, -1)) do
  if mine[id] then
    unwanted[#unwanted + 1] = id
  end
end
local seen = {}
for n = 7 + count, #ARGV do
  seen[#seen + 1] = now
  seen[#seen + 1] = ARGV[n]
end
if #seen > 0 then
  redis.call('ZADD', base .. 'can', unpack(seen))
end
redis.call('ZREMRANGEBYSCORE', base .. 'can', '-inf', now - 86400000)
local names = redis.call('ZRANGEBYSCORE', base .. 'can', now - tonumber(ARGV[3]), '+inf')
return {1, #returned, lost, unwanted, names}

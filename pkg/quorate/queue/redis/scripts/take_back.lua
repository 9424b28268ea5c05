#!lua flags=allow-oom
-- take_back: tasks of a dead session go back to the front of their lanes. For one that
-- had begun a crash is counted; at the limit it goes to the dead letters.
-- idempotent: what was taken back is not there any more
-- KEYS  1 sessions, 2 the queue's keys (prefix), 3 sessions with claims in any queue,
--       4 queues in which this session has claims
-- ARGV  1 session, 2 queue, 3 at most so many, 4 crash budget, 5 note of a death with %d
--       for attempt and lane, 6 most dead letters, 7 ms that they are kept
-- returns {tasks, begun, dead ids, left} | {-1, 0, {}, 0} when it lives
-- clock: server
-- include server_time
-- include ring
-- include put_ready
-- include tell
-- include guards
-- include bury_task
-- include call_off
-- include follow
local session, base = ARGV[1], KEYS[2]
local ends = redis.call('ZSCORE', KEYS[1], session)
if ends and tonumber(ends) > now then
  return {-1, 0, {}, 0}
end
local owned = base .. 'mine:' .. session
local ids = redis.call('SRANDMEMBER', owned, tonumber(ARGV[3]))
local back, records, died, notes, dead, freed = new_lanes(), {}, {}, {}, {}, {}
local begun_count, over = 0, {}
if #ids > 0 then
  local owners = redis.call('HMGET', base .. 'own', unpack(ids))
  local recorded = redis.call('HMGET', base .. 'att', unpack(ids))
  for n, id in ipairs(ids) do
    local owner, lane, begun = string.match(owners[n] or '', '^(.*)|%d+|(%d)|(%d)$')
    if owner == session then
      freed[#freed + 1] = id
      local f, b, c = string.match(recorded[n] or '0|0|0', '^(%d+)|(%d+)|(%d+)$')
      local crashes = tonumber(c or 0)
      if begun == '1' then
        begun_count = begun_count + 1
        crashes = crashes + 1
        records[#records + 1] = id
        records[#records + 1] = (f or '0') .. '|' .. (b or '0') .. '|' .. crashes
      end
      if crashes >= tonumber(ARGV[4]) then
        dead[#dead + 1], over[id] = id, true
        died[#died + 1] = now
        died[#died + 1] = id
        notes[#notes + 1] = id
        notes[#notes + 1] = string.format(ARGV[5], tonumber(f or 0) + 1, tonumber(lane))
      else
        local ready = back[lane]
        ready[#ready + 1] = id
      end
    end
  end
  redis.call('SREM', owned, unpack(ids))
end
local cfg = redis.call('HMGET', base .. 'cfg', 'waiting', 'alarm')
local guards = new_guards(base, KEYS[1], time[1] * 1000000 + time[2], nil, cfg[2])
guards.most_dead, guards.dead_ms = tonumber(ARGV[6]), tonumber(ARGV[7])
local count = 0
if #freed > 0 then
  redis.call('HDEL', base .. 'own', unpack(freed))
  count = unguard(guards, freed, over)
end
if #records > 0 then
  redis.call('HSET', base .. 'att', unpack(records))
end
if #dead > 0 then
  tell(base, cfg[1], bury(guards, died, notes, now))
  local ends_of = {}
  for n = 1, #notes, 2 do
    local last = #ends_of
    ends_of[last + 1], ends_of[last + 2], ends_of[last + 3] = notes[n], 'x', notes[n + 1]
  end
  follow(base, ARGV[2], now, ends_of)
end
count = count + put(base, 'LPUSH', back)
if count > 0 then
  ring(base, ARGV[2], count, #back['0'] > 0)
end
local left = redis.call('SCARD', owned)
if left == 0 then
  redis.call('HDEL', base .. 'cfg', 'x:' .. session .. ':0', 'x:' .. session .. ':1')
  redis.call('SREM', KEYS[4], ARGV[2])
  if redis.call('SCARD', KEYS[4]) == 0 then
    redis.call('SREM', KEYS[3], session)
  end
end
return {#freed, begun_count, dead, left}

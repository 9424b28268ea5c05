#!lua flags=allow-oom
-- tidy: a task is in one place at most, and nothing is left of one that is over. Judged and
-- put right for each of these ids in one step; what is right is left alone.
-- idempotent
-- KEYS  1 sessions, 2 the queue's keys (prefix), 3 sessions with claims in any queue,
--       4 queues with claims of a session (prefix)
-- ARGV  1 queue, 2 note for a death without one, 3 how long a result without an end is
--       kept in ms, 4… ids
-- returns a list with two words for each repair: id, what it was
-- clock: server
-- include server_time
local base, queue, repairs = KEYS[2], ARGV[1], {}
local function mended(id, what)
  repairs[#repairs + 1] = id
  repairs[#repairs + 1] = what
end
local function forget(hash, id, what)
  if redis.call('HDEL', base .. hash, id) == 1 then
    mended(id, what)
  end
end
-- The owner counts as a place while it lives, or is listed to be cleaned up after.
local function owned(id)
  local owner = redis.call('HGET', base .. 'own', id)
  local session = owner and string.match(owner, '^(.*)|%d+|%d|%d$')
  if not owner then
    return false
  elseif not session then
    forget('own', id, 'an owner that cannot be read')
    return false
  end
  local ends = redis.call('ZSCORE', KEYS[1], session)
  if ends and tonumber(ends) > now then
    if redis.call('SADD', base .. 'mine:' .. session, id) == 1 then
      mended(id, 'a claim that its session did not list')
    end
    return true
  end
  if redis.call('SISMEMBER', base .. 'mine:' .. session, id) == 0 then
    return false -- in no place: mend puts it back
  end
  if redis.call('SADD', KEYS[3], session) + redis.call('SADD', KEYS[4] .. session, queue) > 0
  then
    mended(id, 'a claim of a dead session that nobody would clean')
  end
  return true
end
local function from_lanes(id, keep)
  local kept = keep
  for lane = 0, 2 do
    local key = base .. 'r' .. lane
    local places = redis.call('LPOS', key, id, 'COUNT', 0)
    local spare = #places - (kept and 0 or math.min(1, #places))
    if spare > 0 then
      -- From the tail: the first place stays.
      redis.call('LREM', key, -spare, id)
      mended(id, keep == 'gone' and 'in a lane without a task' or 'in more than one place')
    end
    kept = kept or #places > 0
  end
  return kept
end
local function from_park(id, keep)
  local gate = redis.call('HGET', base .. 'parked', id)
  if not gate then
    return keep
  end
  local there = 0
  for lane = 0, 2 do
    local member = lane .. ':' .. id
    if redis.call('ZSCORE', base .. 'park:' .. gate, member) then
      there = there + 1
      if keep then
        redis.call('ZREM', base .. 'park:' .. gate, member)
      end
    end
  end
  if keep or there == 0 then
    forget('parked', id, there > 0 and 'in more than one place' or 'parked nowhere')
  end
  return keep or there > 0
end
local function from_due(id, keep)
  for lane = 0, 2 do
    local member = lane .. ':' .. id
    if redis.call('ZSCORE', base .. 'due', member) then
      if keep then
        redis.call('ZREM', base .. 'due', member)
        mended(id, keep == 'gone' and 'due without a task' or 'in more than one place')
      end
      keep = keep or true
    end
  end
  return keep
end
local function dead(id, keep)
  if not redis.call('ZSCORE', base .. 'dead', id) then
    forget('err', id, 'the note of a death that was not')
    return keep
  end
  if keep then
    redis.call('ZREM', base .. 'dead', id)
    redis.call('HDEL', base .. 'err', id)
    mended(id, keep == 'gone' and 'dead without a task' or 'in more than one place')
  elseif redis.call('HSETNX', base .. 'err', id, ARGV[2]) == 1 then
    mended(id, 'a death without a note')
  end
  return keep or true
end
for n = 4, #ARGV do
  local id = ARGV[n]
  if redis.call('HEXISTS', base .. 'job', id) == 1 then
    from_park(id, from_lanes(id, from_due(id, dead(id, owned(id)))))
  else
    local owner = redis.call('HGET', base .. 'own', id)
    local session = owner and string.match(owner, '^(.*)|%d+|%d|%d$')
    forget('own', id, 'owned without a task')
    if session then
      redis.call('SREM', base .. 'mine:' .. session, id)
    end
    -- A task cancelled in its lane leaves its id there, and says so.
    if redis.call('HGET', base .. 'att', id) ~= 'x' then
      from_lanes(id, 'gone')
      forget('att', id, 'the record of nothing')
    elseif not (redis.call('LPOS', base .. 'r0', id) or redis.call('LPOS', base .. 'r1', id)
        or redis.call('LPOS', base .. 'r2', id)) then
      forget('att', id, 'the record of nothing')
    end
    from_due(id, 'gone')
    dead(id, 'gone')
    from_park(id, 'gone')
    forget('prog', id, 'the progress of nothing')
    if redis.call('ZREM', base .. 'stop', id) == 1 then
      mended(id, 'the cancellation of nothing')
    end
    if redis.call('HDEL', base .. 'wait', id) == 1 then
      mended(id, 'somebody waits for nothing')
    end
  end
  if redis.call('HEXISTS', base .. 'res', id) == 1 then
    if redis.call('ZADD', base .. 'resx', 'NX', now + tonumber(ARGV[3]), id) == 1 then
      mended(id, 'a result without an end')
    end
  elseif redis.call('ZREM', base .. 'resx', id) == 1 then
    mended(id, 'the end of no result')
  end
end
redis.call('HSET', base .. 'cfg', 'waiting', redis.call('HLEN', base .. 'wait'))
return repairs

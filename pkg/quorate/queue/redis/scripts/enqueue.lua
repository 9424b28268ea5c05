-- enqueue: put tasks in, each once.
-- idempotent: an id that is known (waiting, running, dead, or over with its result kept)
-- is not put in again.
-- KEYS  1 the queue's keys (prefix)
-- ARGV  1 queue, 2… tasks, four words each: id, lane, delay in ms or '=' and the ms of
--       wall time at which it is due, envelope
-- returns a list with 1 (put in) or 0 (known) for each task
-- clock: server
-- include server_time
-- include ring
-- include put_ready
local base, queue = KEYS[1], ARGV[1]
local ids = {}
for at = 2, #ARGV, 4 do
  ids[#ids + 1] = ARGV[at]
end
local waiting = redis.call('HMGET', base .. 'job', unpack(ids))
local over = redis.call('HMGET', base .. 'res', unpack(ids))
local records = redis.call('HMGET', base .. 'att', unpack(ids))
local put_in, jobs, due, revived, seen = {}, {}, {}, {}, {}
local ready, first, earliest = new_lanes(), nil, nil
for n, id in ipairs(ids) do
  local known = waiting[n] or seen[id]
  if not known and over[n] then
    local ends = redis.call('ZSCORE', base .. 'resx', id)
    known = ends and tonumber(ends) > now
  end
  seen[id] = true
  put_in[n] = known and 0 or 1
  if not known then
    local at = 2 + (n - 1) * 4
    local delay = tonumber(ARGV[at + 2]) or string.sub(ARGV[at + 2], 2) - now
    jobs[#jobs + 1] = id
    jobs[#jobs + 1] = ARGV[at + 3]
    if records[n] then
      -- It was cancelled in its lane, where its id is still.
      revived[#revived + 1] = id
    elseif delay > 0 then
      due[#due + 1] = now + delay
      due[#due + 1] = ARGV[at + 1] .. ':' .. id
      earliest = math.min(earliest or now + delay, now + delay)
    else
      local lane = ready[ARGV[at + 1]]
      lane[#lane + 1] = id
    end
  end
end
if #jobs == 0 then
  return put_in
end
redis.call('HSET', base .. 'job', unpack(jobs))
if #revived > 0 then
  redis.call('HDEL', base .. 'att', unpack(revived))
end
if #due > 0 then
  first = redis.call('ZRANGE', base .. 'due', 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', base .. 'due', unpack(due))
end
put(base, 'RPUSH', ready)
local cfg = redis.call('HMGET', base .. 'cfg', 'shed', 'paused')
local open = cfg[2] and 0 or 3 - tonumber(cfg[1] or 0)
if open > 0 and #ready['0'] > 0 then
  ring(base, queue, #ready['0'], true)
end
local rest = (open > 1 and #ready['1'] or 0) + (open > 2 and #ready['2'] or 0)
if earliest and (not first or earliest < tonumber(first)) then
  rest = rest + 1
end
if rest > 0 then
  ring(base, queue, rest, false)
end
return put_in

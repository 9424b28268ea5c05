-- put_in: put tasks in, each once. A fragment; wants `base`, `queue`, `now`, `ring`,
-- `put_ready` and `unique`. Tasks are four words each in ARGV: id, lane, delay in ms or '='
-- and the ms of wall time at which they are due, envelope.

-- The ids from ARGV[from] on; which of them are known; and whether all are.
local function look_up(from)
  local ids, known, all, count = {}, {}, true, 0
  for at = from, #ARGV, 4 do
    count = count + 1
    ids[count] = ARGV[at]
  end
  local waiting = redis.call('HMGET', base .. 'job', unpack(ids))
  local over = redis.call('HMGET', base .. 'res', unpack(ids))
  for n, id in ipairs(ids) do
    known[n] = waiting[n]
    if not known[n] and over[n] then
      local ends = redis.call('ZSCORE', base .. 'resx', id)
      known[n] = ends and tonumber(ends) > now
    end
    all = all and known[n]
  end
  return ids, known, all
end

-- Returns for each 1 (put in), 0 (known), or the id of the task with its unique key.
local function put_in_tasks(from, ids, known)
  -- Hardly ever does a waiting task have a record.
  local records = redis.call('EXISTS', base .. 'att') == 1
    and redis.call('HMGET', base .. 'att', unpack(ids)) or {}
  local put_in, jobs, due, revived, seen, last = {}, {}, {}, {}, {}, 0
  local ready, first, earliest = new_lanes(), nil, nil
  for n, id in ipairs(ids) do
    local at = from + (n - 1) * 4
    local envelope, wait = ARGV[at + 3], ARGV[at + 2]
    local is_known, holder = known[n] or seen[id], nil
    seen[id] = true
    if not is_known and string.byte(envelope) == 33 then
      holder = take_unique(base, id, envelope, seen)
    end
    put_in[n] = holder or (is_known and 0 or 1)
    if not is_known and not holder then
      local delay = wait == '0' and 0 or tonumber(wait) or string.sub(wait, 2) - now
      jobs[last + 1], jobs[last + 2] = id, envelope
      last = last + 2
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
  if last == 0 then
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
end

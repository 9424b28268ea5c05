-- Settle finished tasks: five words each, id, token, code, number, body.
--   d done, kept for number ms · c cancelled · x dead, body is the note
--   r after number ms, body is the new record · b the same, at the front of its lane
-- A code in capitals says that the task has a record to be forgotten.
-- Returns the ids that are not ours any more; nothing is done to those.
local function settle(base, queue, session, first, count, waiting, most_dead, now)
  local stale, mine, over, clean, results, ends = {}, {}, {}, {}, {}, {}
  local due, records, notes, died = {}, {}, {}, {}
  local back = new_lanes()
  if count == 0 then
    return stale
  end
  local ids = {}
  for n = 0, count - 1 do
    ids[n + 1] = ARGV[first + n * 5]
  end
  local owners = redis.call('HMGET', base .. 'own', unpack(ids))
  for n = 0, count - 1 do
    local at = first + n * 5
    local id, code, number, body = ids[n + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local claim = session .. '|' .. ARGV[at + 1] .. '|'
    local owner = owners[n + 1]
    if not owner or string.sub(owner, 1, #claim) ~= claim then
      stale[#stale + 1] = id
    else
      mine[#mine + 1] = id
      local kind = string.lower(code)
      if kind ~= code then
        clean[#clean + 1] = id
      end
      if kind == 'd' or kind == 'c' then
        over[#over + 1] = id
        results[#results + 1] = id
        results[#results + 1] = kind .. body
        ends[#ends + 1] = now + tonumber(number)
        ends[#ends + 1] = id
      elseif kind == 'x' then
        died[#died + 1] = now
        died[#died + 1] = id
        notes[#notes + 1] = id
        notes[#notes + 1] = body
      else
        local lane = string.sub(owner, #claim + 1, #claim + 1)
        if tonumber(number) > 0 then
          due[#due + 1] = now + tonumber(number)
          due[#due + 1] = lane .. ':' .. id
        else
          local ready = back[lane]
          ready[#ready + 1] = id
        end
        if body ~= '' then
          records[#records + 1] = id
          records[#records + 1] = body
        end
      end
    end
  end
  if #mine == 0 then
    return stale
  end
  redis.call('HDEL', base .. 'own', unpack(mine))
  redis.call('SREM', base .. 'mine:' .. session, unpack(mine))
  if #clean > 0 then
    redis.call('HDEL', base .. 'att', unpack(clean))
    redis.call('HDEL', base .. 'prog', unpack(clean))
    redis.call('ZREM', base .. 'stop', unpack(clean))
  end
  if #over > 0 then
    redis.call('HDEL', base .. 'job', unpack(over))
    redis.call('HSET', base .. 'res', unpack(results))
    redis.call('ZADD', base .. 'resx', unpack(ends))
    tell(base, waiting, over)
  end
  if #due > 0 then
    redis.call('ZADD', base .. 'due', unpack(due))
  end
  if #records > 0 then
    redis.call('HSET', base .. 'att', unpack(records))
  end
  if #died > 0 then
    redis.call('ZADD', base .. 'dead', unpack(died))
    redis.call('HSET', base .. 'err', unpack(notes))
    local gone = {}
    for n = 1, #notes, 2 do
      gone[#gone + 1] = notes[n]
    end
    tell(base, waiting, gone)
    trim_dead(base, most_dead)
  end
  local ready = put(base, 'LPUSH', back)
  if ready > 0 then
    ring(base, queue, ready, #back['0'] > 0)
  end
  return stale
end

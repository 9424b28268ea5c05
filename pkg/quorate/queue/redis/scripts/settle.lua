-- Settle finished tasks: five words each, id, claim (as it stands in `own`), code, number,
-- body.
--   d done, c cancelled: body is kept as the result for number ms · x dead: body is the note
--   r after number ms (or '=' and the ms of wall time), body is the new record
--   b the same, at the front of its lane
-- A code in capitals says that the task left notes to be removed, or that others follow it.
-- Returns the ids that are not ours any more; nothing is done to those.
local function settle(base, queue, session, first, count, waiting, most_dead, now)
  local stale, mine, over, clean, results, ends = {}, {}, {}, {}, {}, {}
  local due, records, notes, died = {}, {}, {}, {}
  local back, scores, ends_of = new_lanes(), {}, {}
  local settled, finished = 0, 0
  if count == 0 then
    return stale
  end
  local ids = {}
  for n = 1, count do
    ids[n] = ARGV[first + n * 5 - 5]
  end
  local owners = redis.call('HMGET', base .. 'own', unpack(ids))
  for n = 1, count do
    local at = first + n * 5 - 5
    local id, claim, code = ids[n], ARGV[at + 1], ARGV[at + 2]
    local number, body = ARGV[at + 3], ARGV[at + 4]
    local owner = owners[n]
    -- A suspect that has not begun differs in the last mark.
    if owner ~= claim and string.sub(owner or '', 1, -2) ~= string.sub(claim, 1, -2) then
      stale[#stale + 1] = id
    else
      settled = settled + 1
      mine[settled] = id
      local kind = code
      if code ~= 'd' then
        kind = string.lower(code)
        if kind ~= code then
          clean[#clean + 1] = id
        end
        if code == 'D' or code == 'C' or code == 'X' then
          local last = #ends_of
          ends_of[last + 1], ends_of[last + 2] = id, kind
          ends_of[last + 3] = kind == 'x' and body or string.sub(body, 2)
        end
      end
      if kind == 'd' or kind == 'c' then
        if not scores[number] then
          scores[number] = string.format('%.0f', now + tonumber(number))
        end
        finished = finished + 1
        over[finished] = id
        results[finished * 2 - 1], results[finished * 2] = id, body
        ends[finished * 2 - 1], ends[finished * 2] = scores[number], id
      elseif kind == 'x' then
        died[#died + 1] = now
        died[#died + 1] = id
        notes[#notes + 1] = id
        notes[#notes + 1] = body
      else
        local lane = string.sub(owner, -3, -3)
        local rest = tonumber(number) or string.sub(number, 2) - now
        if rest > 0 then
          due[#due + 1] = now + rest
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
  if settled == 0 then
    return stale
  end
  redis.call('HDEL', base .. 'own', unpack(mine))
  redis.call('SREM', base .. 'mine:' .. session, unpack(mine))
  if #clean > 0 then
    redis.call('HDEL', base .. 'att', unpack(clean))
    redis.call('HDEL', base .. 'prog', unpack(clean))
    redis.call('ZREM', base .. 'stop', unpack(clean))
  end
  if finished > 0 then
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
  if #ends_of > 0 then
    follow(base, queue, now, ends_of)
  end
  local ready = put(base, 'LPUSH', back)
  if ready > 0 then
    ring(base, queue, ready, #back['0'] > 0)
  end
  return stale
end

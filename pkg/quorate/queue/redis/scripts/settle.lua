-- Settle finished tasks: five words each, id, claim (as it stands in `own`), code, number,
-- body.
--   d done, c cancelled: body is kept as the result for number ms · x dead: body is the note
--   r after number ms (or '=' and the ms of wall time), body is the new record and why, a
--   line each · b the same, at the front of its lane · h until the service that number
--   names is up
-- A code in capitals says that the task left notes to be removed, or that others follow it;
-- a ! behind it, that its envelope is guarded.
-- Returns the ids that are not ours any more; nothing is done to those.
local function settle(guards, queue, session, first, count, waiting, now)
  local base, guarded, ended = guards.base, {}, {}
  local stale, mine, over, clean, results, ends = {}, {}, {}, {}, {}, {}
  local due, records, whys, notes, died = {}, {}, {}, {}, {}
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
        kind = string.lower(string.sub(code, 1, 1))
        if string.byte(code) < 97 then
          clean[#clean + 1] = id
        end
        if #code > 1 then
          guarded[#guarded + 1] = id
          ended[id] = kind == 'd' or kind == 'c' or kind == 'x'
        end
        if string.byte(code) < 97 and (kind == 'd' or kind == 'c' or kind == 'x') then
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
        local rest = 0
        if kind == 'h' then
          redis.call('SADD', base .. 'held', number)
          rest = held_until(number) - now
        else
          rest = tonumber(number) or string.sub(number, 2) - now
        end
        if rest > 0 then
          due[#due + 1] = now + rest
          guards.rest = math.min(guards.rest or rest, rest)
          due[#due + 1] = lane .. ':' .. id
        else
          local ready = back[lane]
          ready[#ready + 1] = id
        end
        local record, why = string.match(body, '^([^\n]*)\n?(.*)$')
        if record ~= '' then
          records[#records + 1] = id
          records[#records + 1] = record
        end
        if why ~= '' then
          whys[#whys + 1] = id
          whys[#whys + 1] = why
        end
      end
    end
  end
  if settled == 0 then
    return stale
  end
  redis.call('HDEL', base .. 'own', unpack(mine))
  redis.call('SREM', base .. 'mine:' .. session, unpack(mine))
  local woken = unguard(guards, guarded, ended)
  if #clean > 0 then
    redis.call('HDEL', base .. 'att', unpack(clean))
    redis.call('HDEL', base .. 'prog', unpack(clean))
  end
  if guards.stops then
    local gone = {'', unpack(over)}
    for n = 2, #died, 2 do
      gone[#gone + 1] = died[n]
    end
    -- A cancellation that came too late must not strike another task of this name.
    redis.call('ZREM', base .. 'stop', unpack(gone))
    if redis.call('ZCARD', base .. 'stop') == 0 then
      redis.call('HDEL', base .. 'cfg', 'stops')
    end
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
  if #whys > 0 then
    redis.call('HSET', base .. 'prog', unpack(whys))
  end
  if #died > 0 then
    tell(base, waiting, bury(guards, died, notes, now))
  end
  if #ends_of > 0 then
    follow(base, queue, now, ends_of)
  end
  local ready = put(base, 'LPUSH', back) + woken
  if ready > 0 then
    ring(base, queue, ready, #back['0'] > 0)
  end
  return stale
end

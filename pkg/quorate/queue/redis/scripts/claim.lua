-- Take tasks lane by lane, as many of each as `counts` says; places that are left then are
-- filled from any lane. `open` is the number of lanes that are served. Returns the ids,
-- their lanes, the places left, and those left for lanes but the first.
local function take(base, counts, total, others, open)
  local ids, lanes, empty = {}, {}, {}
  for round = 1, 2 do
    for lane = 0, open - 1 do
      local most = lane == 0 and total or math.min(total, others)
      local ask = round == 1 and math.min(counts[lane + 1], most) or most
      if ask > 0 and not empty[lane] then
        local got = redis.call('LPOP', base .. 'r' .. lane, ask) or {}
        empty[lane] = #got < ask
        for _, id in ipairs(got) do
          ids[#ids + 1] = id
          lanes[#lanes + 1] = lane
        end
        total = total - #got
        if lane > 0 then
          others = others - #got
        end
      end
    end
  end
  return ids, lanes, total, others
end
-- Five words for each claim: id, token, lane, record, envelope. A record is
-- failures|bounces|crashes; a task with crashes has not begun before its worker says so.
-- An id whose envelope is gone was cancelled in its lane and is dropped here; one that
-- meets a closed gate is parked there. Adds to `claims` and `mine`; returns how many were
-- parked, and the places left for lanes but the first.
local function claim(guards, session, ids, lanes, token, claims, mine, others)
  local base, owners, names, gone = guards.base, {}, {}, {}
  local at, count, first, parked = #claims, #mine, #mine, 0
  local marks = {[0] = '|0|', '|1|', '|2|'}
  if #ids == 0 then
    return 0, others
  end
  local envelopes = redis.call('HMGET', base .. 'job', unpack(ids))
  local records = redis.call('HMGET', base .. 'att', unpack(ids))
  local who = session .. '|'
  for n, id in ipairs(ids) do
    local record, envelope = records[n], envelopes[n]
    local number, lane = string.format('%.0f', token + count), lanes[n]
    if envelope and (guards.rules or string.byte(envelope) == 33)
        and not admit(guards, id, lane, envelope, number) then
      parked = parked + 1
      others = others + (lane > 0 and 1 or 0)
    elseif envelope then
      local begun = '1'
      if record and string.sub(record, -2) ~= '|0' then
        begun = '0'
      end
      count = count + 1
      mine[count] = id
      names[count - first] = id
      owners[#owners + 1] = id
      owners[#owners + 1] = who .. number .. marks[lane] .. begun
      claims[at + 1], claims[at + 2], claims[at + 3] = id, number, lane
      claims[at + 4], claims[at + 5] = record or '', envelope
      at = at + 5
    elseif record then
      gone[#gone + 1] = id
    end
  end
  if #gone > 0 then
    redis.call('HDEL', base .. 'att', unpack(gone))
  end
  if count > first then
    redis.call('HSET', base .. 'own', unpack(owners))
    redis.call('SADD', base .. 'mine:' .. session, unpack(names))
  end
  return parked, others
end
-- The same claims once more, as far as they are still ours.
local function claim_again(base, session, ids)
  local claims = {}
  if #ids == 0 then
    return claims
  end
  local owners = redis.call('HMGET', base .. 'own', unpack(ids))
  local envelopes = redis.call('HMGET', base .. 'job', unpack(ids))
  local records = redis.call('HMGET', base .. 'att', unpack(ids))
  for n, id in ipairs(ids) do
    local owner, number, lane = string.match(owners[n] or '', '^(.*)|(%d+)|(%d)|%d$')
    if owner == session and envelopes[n] then
      local at = #claims
      claims[at + 1], claims[at + 2], claims[at + 3] = id, number, tonumber(lane)
      claims[at + 4], claims[at + 5] = records[n] or '', envelopes[n]
    end
  end
  return claims
end

-- How many tasks the queue's own rate lets pass: in all, and outside the first lane.
-- Returns its gate too, if that is why they are fewer than were asked for.
local function allowance(guards, total, others)
  local rule = guards.rules and guards.rules.q['']
  if not rule then
    return total, others
  end
  local gate = rate_gate(guards, 'q:', rule)
  local room = math.max(0, (room_of(guards, gate)))
  return math.min(total, room), math.min(others, room), room < total
end
-- Write down what has become of the gates. `claimed` tasks were taken. Returns in how
-- many ms it is worth asking again, if the queue's own rate was too `narrow`.
local function close_guards(guards, claimed, narrow)
  local base, queue = guards.base, guards.gates['q:']
  if queue and claimed > 0 then
    queue.tat, queue.is_moved = queue.tat + claimed * queue.interval, true
  end
  for name, gate in pairs(guards.gates) do
    if #gate.parked > 0 then
      local places = {}
      for n = 2, #gate.parked, 2 do
        places[#places + 1] = string.sub(gate.parked[n], 3)
        places[#places + 1] = name
      end
      redis.call('ZADD', base .. 'park:' .. name, unpack(gate.parked))
      redis.call('HSET', base .. 'parked', unpack(places))
    end
    if gate.interval then
      if #gate.gone > 0 then
        redis.call('HDEL', base .. 'inv:' .. name, unpack(gate.gone))
      end
      if gate.is_moved then
        redis.call('SET', base .. 'rl:' .. name, string.format('%.0f', gate.tat),
          'PX', math.ceil((gate.tat - guards.at) / 1000) + 1)
      end
      if #gate.parked > 0 or (gate.waiting > 0 and (gate.is_moved or #gate.gone > 0)) then
        local _, again_in = room_of(guards, gate)
        arm(guards, name, (guards.at + again_in) / 1000)
      end
    end
  end
  if narrow then
    local _, again_in = room_of(guards, queue)
    return math.ceil(again_in / 1000)
  end
end
-- So many of those who wait at a gate are let in: they come back to the front of their
-- lanes, in their order. Their places are kept, should they find the gate closed again.
local function let_in(base, name, count, is_rate)
  local found = redis.call('ZPOPMIN', base .. 'park:' .. name, count)
  local left = redis.call('ZCARD', base .. 'park:' .. name)
  for n = #found - 1, 1, -2 do
    local lane, id = string.sub(found[n], 1, 1), string.sub(found[n], 3)
    redis.call('HDEL', base .. 'parked', id)
    redis.call('LPUSH', base .. 'r' .. lane, id)
    if left > 0 or is_rate then
      redis.call('HSET', base .. 'inv:' .. name, id, lane .. ':' .. found[n + 1])
    end
  end
  return left
end
-- The rule of a gate: of the queue, or the one that the first in line brought along.
local function rule_at(guards, name)
  local kind, label = string.sub(name, 1, 1), string.sub(name, 3)
  if kind ~= 'k' then
    return guards.rules and guards.rules[kind] and guards.rules[kind][label]
  end
  local first = redis.call('ZRANGE', guards.base .. 'park:' .. name, 0, 0)[1]
  local envelope = first and redis.call('HGET', guards.base .. 'job', string.sub(first, 3))
  for _, word in ipairs(envelope and words_of(envelope) or {}) do
    if word.kind == 'k' and word.label == label then
      return word
    end
  end
end
-- How many of those let in are still on their way. Forgotten are those that have been
-- claimed, parked or cancelled, or whose lane is not served.
local function guests_of(guards, name, invited)
  local base, ids, count = guards.base, {}, 0
  for id in pairs(invited) do
    ids[#ids + 1] = id
  end
  if #ids == 0 then
    return 0
  end
  local envelopes = redis.call('HMGET', base .. 'job', unpack(ids))
  local owners = redis.call('HMGET', base .. 'own', unpack(ids))
  local gates = redis.call('HMGET', base .. 'parked', unpack(ids))
  for n, id in ipairs(ids) do
    local lane = tonumber(string.sub(invited[id], 1, 1))
    if envelopes[n] and not owners[n] and not gates[n] and lane < guards.open then
      count = count + 1
    else
      redis.call('HDEL', base .. 'inv:' .. name, id)
    end
  end
  return count
end
-- A gate whose time has come: let in as many as may pass now, once all who were let in
-- before are through, so that nobody is overtaken.
local function open_gate(guards, name)
  local base, rule = guards.base, rule_at(guards, name)
  local invited = map_of(redis.call('HGETALL', base .. 'inv:' .. name))
  local room, again_in = 100, 10000
  if rule and rule.first == 0 then
    return
  elseif rule then
    room, again_in = room_of(guards, rate_gate(guards, name, rule))
    guards.gates[name] = nil
  end
  local left, guests = nil, guests_of(guards, name, invited)
  if guests > 0 then
    left, again_in = redis.call('ZCARD', base .. 'park:' .. name), math.max(again_in, 50000)
  else
    left = let_in(base, name, math.max(0, math.min(room, 100)), rule)
    if rule and room > 0 then
      again_in = math.max(again_in, rule.first * math.max(1, math.floor(rule.second / 2)))
    end
  end
  if left > 0 or (guests > 0 and not rule) then
    arm(guards, name, (guards.at + again_in) / 1000)
  end
end

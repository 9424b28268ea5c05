-- Park a task at a closed gate. Who is there longer comes first; a lane less urgent
-- counts as a minute later, so that nobody waits for ever.
local function park(guards, gate, id, lane, score)
  guards.count = guards.count + 1
  local place = gate.parked
  place[#place + 1] = string.format('%.0f',
    score or guards.at + lane * 60000000 + guards.count)
  place[#place + 1] = lane .. ':' .. id
end
local function slot_gate(guards, word)
  local name = 's:' .. word.label
  local gate = guards.gates[name]
  if not gate then
    gate = {name = name, label = word.label, parked = {}, new = {}}
    gate.holders, gate.taken =
      map_of(redis.call('HGETALL', guards.base .. 'slot:' .. word.label))
    guards.gates[name] = gate
  end
  return gate
end
-- Take slots from the dead, and from who was let in to a lane that is not served.
local function clear_slots(guards, gate)
  local base, ids = guards.base, {}
  for id in pairs(gate.holders) do
    ids[#ids + 1] = not gate.new[id] and id or nil
  end
  gate.is_cleared = true
  for n, owner in ipairs(#ids > 0 and redis.call('HMGET', base .. 'own', unpack(ids)) or {}) do
    local token = gate.holders[ids[n]]
    local lives
    if string.sub(token, 1, 1) == 'i' then
      lives = tonumber(string.sub(token, 2)) < guards.open
    else
      local session, number = string.match(owner or '', '^(.*)|(%d+)|%d|%d$')
      local ends = session and number == token
        and redis.call('ZSCORE', guards.sessions, session)
      lives = ends and tonumber(ends) > guards.at / 1000
    end
    if not lives then
      redis.call('HDEL', base .. 'slot:' .. gate.label, ids[n])
      gate.holders[ids[n]] = nil
      gate.taken = gate.taken - 1
    end
  end
end
local function has_slot(guards, gate, id, limit)
  if gate.holders[id] then
    return true
  end
  if gate.taken >= limit and not gate.is_cleared then
    clear_slots(guards, gate)
  end
  local woken = gate.taken < limit and #gate.parked == 0 and fill(guards, gate.label, limit)
  if woken and woken > 0 then
    guards.woken = true
    gate.holders, gate.taken =
      map_of(redis.call('HGETALL', guards.base .. 'slot:' .. gate.label))
  end
  return gate.taken < limit and #gate.parked == 0
end
-- May this task start now? If not, it is parked at the first gate that is closed.
local function admit(guards, id, lane, envelope, token)
  local rates, slots, unique = {}, {}, nil
  local words = string.byte(envelope) == 33 and words_of(envelope) or {}
  if guards.rules then
    local head = #words > 0 and string.find(envelope, '\n', 1, true) + 1 or 1
    local task = string.match(envelope, '^{"v":%d+,"n":"([^"]*)"', head) or ''
    if guards.rules.p[task] then
      local name = 'p:' .. task
      guards.gates[name] = guards.gates[name] or {name = name, parked = {}}
      park(guards, guards.gates[name], id, lane)
      return false
    end
    local rule = guards.rules.t[task]
    rates[1] = rule and rate_gate(guards, 't:' .. task, rule)
  end
  for _, word in ipairs(words) do
    if word.kind == 'k' then
      rates[#rates + 1] = rate_gate(guards, 'k:' .. word.label, word)
    elseif word.kind == 's' then
      slots[#slots + 1] = {gate = slot_gate(guards, word), limit = word.first}
    elseif word.first == 0 then
      unique = word.label
    end
  end
  local closed, score
  for _, gate in ipairs(rates) do
    local guest = gate.invited[id]
    local is_behind = not guest and gate.waiting + #gate.parked > 0
    if not closed and (is_behind or room_of(guards, gate) < 1) then
      closed, score = gate, guest and tonumber(string.sub(guest, 3))
    end
  end
  for _, slot in ipairs(slots) do
    if not closed and not has_slot(guards, slot.gate, id, slot.limit) then
      closed = slot.gate
    end
  end
  for _, gate in ipairs(rates) do
    if gate.invited[id] then
      gate.gone[#gate.gone + 1] = id
      gate.invited[id] = nil
    end
    if not closed then
      gate.tat = gate.tat + gate.interval
      gate.is_moved = true
    end
  end
  if closed then
    park(guards, closed, id, lane, score)
    return false
  end
  for _, slot in ipairs(slots) do
    slot.gate.taken = slot.gate.taken + (slot.gate.holders[id] and 0 or 1)
    slot.gate.holders[id], slot.gate.new[id] = token, true
    redis.call('HSET', guards.base .. 'slot:' .. slot.gate.label, id, token)
  end
  if unique and redis.call('HGET', guards.base .. 'uniq', unique) == id then
    redis.call('HDEL', guards.base .. 'uniq', unique)
  end
  return true
end

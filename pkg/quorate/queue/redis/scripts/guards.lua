-- What keeps a ready task waiting: gates. A task that meets a closed gate leaves its lane
-- and is parked there, so that nobody behind it waits; when the gate opens it comes back
-- to the front of its lane.
--   s:<key> slots: so many at once · k:<key>, t:<task> a rate · p:<task> paused
-- A guarded envelope begins with a line: "!", then words apart by \31, each
-- letter|number|number|key: s how many at once · k µs between two, how many in a burst ·
-- u 0 until started, 1 until finished, 2 for so many ms.
local function words_of(envelope)
  local words = {}
  local line = string.match(envelope, '^!([^\n]*)\n') or ''
  for kind, first, second, label in
      string.gmatch(line .. '\31', '(%a)|(%d+)|(%d+)|([^\31]+)\31') do
    words[#words + 1] =
      {kind = kind, first = tonumber(first), second = tonumber(second), label = label}
  end
  return words
end
-- The rules of the queue, each a line in cfg: q rate of the queue, t of a task, p pause.
local function rules_of(text)
  local rules = {q = {}, t = {}, p = {}}
  for kind, first, second, name in
      string.gmatch(text, '(%a)|(%d+)|(%d+)|([^\n]*)\n') do
    rules[kind][name] = {first = tonumber(first), second = tonumber(second)}
  end
  return rules
end
-- The gates as one script sees them. `at` is server time in µs.
local function new_guards(base, sessions, at, text, alarm)
  return {base = base, sessions = sessions, at = at, alarm = tonumber(alarm or nil),
    rules = text and rules_of(text), gates = {}, count = 0, open = 3}
end
-- Look at this gate again at `ms`.
local function arm(guards, name, ms)
  ms = math.ceil(ms)
  redis.call('ZADD', guards.base .. 'alarms', ms, name)
  if not guards.alarm or ms < guards.alarm then
    guards.alarm = ms
    redis.call('HSET', guards.base .. 'cfg', 'alarm', ms)
  end
end
local function map_of(list)
  local map, count = {}, 0
  for n = 1, #list, 2 do
    map[list[n]] = list[n + 1]
    count = count + 1
  end
  return map, count
end
-- A rate (GCRA): `tat` is when the next one would be due if all kept their distance.
local function rate_gate(guards, name, rule)
  local gate = guards.gates[name]
  if not gate then
    local base = guards.base
    gate = {name = name, interval = rule.first, burst = rule.second, parked = {}, gone = {}}
    gate.tat = math.max(tonumber(redis.call('GET', base .. 'rl:' .. name) or 0), guards.at)
    if gate.tat > guards.at + gate.burst * gate.interval then
      -- That was at a slower rate: the next one may pass.
      gate.tat = guards.at + (gate.burst - 1) * gate.interval
    end
    gate.invited = map_of(redis.call('HGETALL', base .. 'inv:' .. name))
    gate.waiting = redis.call('ZCARD', base .. 'park:' .. name)
    guards.gates[name] = gate
  end
  return gate
end
-- How many may pass now, and in how many µs it is worth looking again: when half a burst
-- is there, but no more than 0.1 s after the next one is.
local function room_of(guards, gate)
  local room = gate.burst + math.floor((guards.at - gate.tat) / gate.interval)
  local next_in = math.max(0, gate.tat - (gate.burst - 1) * gate.interval - guards.at)
  local more = math.max(0, math.floor(gate.burst / 2) - 1) * gate.interval
  return room, next_in + math.min(more, 100000)
end
-- Waiting tasks get the free places of a slot, the first in line first. A place is kept
-- for each until it is claimed ('i' and its lane stands for its token).
local function fill(guards, label, limit)
  local base, gate = guards.base, 's:' .. label
  local taken, woken = redis.call('HLEN', base .. 'slot:' .. label), 0
  while taken < limit do
    local member = redis.call('ZPOPMIN', base .. 'park:' .. gate)[1]
    if not member then
      break
    end
    local lane, id = string.sub(member, 1, 1), string.sub(member, 3)
    redis.call('HDEL', base .. 'parked', id)
    if redis.call('HEXISTS', base .. 'job', id) == 1 then
      redis.call('HSET', base .. 'slot:' .. label, id, 'i' .. lane)
      redis.call('LPUSH', base .. 'r' .. lane, id)
      taken, woken = taken + 1, woken + 1
    end
  end
  return woken
end
-- These tasks are nobody's any more: the slots of the guarded ones go to who waits for
-- them, and the unique keys of those that are `over` are free. Call it while their
-- envelopes are there. Returns how many tasks came back to their lanes for it.
local function unguard(guards, ids, over)
  local base, woken = guards.base, 0
  if #ids == 0 then
    return woken
  end
  for n, envelope in ipairs(redis.call('HMGET', base .. 'job', unpack(ids))) do
    local id = ids[n]
    for _, word in ipairs(envelope and string.byte(envelope) == 33
        and words_of(envelope) or {}) do
      if word.kind == 's' then
        if redis.call('HDEL', base .. 'slot:' .. word.label, id) == 1 then
          woken = woken + fill(guards, word.label, word.first)
        end
      elseif word.kind == 'u' and word.first < 2 and over[id]
          and redis.call('HGET', base .. 'uniq', word.label) == id then
        redis.call('HDEL', base .. 'uniq', word.label)
      end
    end
  end
  return woken
end

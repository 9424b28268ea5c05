-- granting: the server's clock, and how somebody becomes a holder. Needs `keys`.
-- clock: server
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local micros = time[1] * 1000000 + time[2]
local block = 32

-- Tell who observes an election that its leader has changed.
local function announce(name)
  if string.sub(name, 1, 3) == '%03' then
    redis.call('PUBLISH', base .. 'on:' .. name, '')
  end
end

-- Make `id` a holder; `last` is the last token, or false. A writer gets a block of tokens
-- above all before it; a reader shares the last one, so that any later writer is above it.
local function grant(name, mode, last, id, hard_ms, session, owner, label)
  local key = holds(name)
  local token = tonumber(last or '0')
  if mode == 'x' or token == 0 then
    token = math.max(token + 1, micros)
  end
  local final = mode == 'x' and token + block - 1 or token
  local hard_end = hard_ms > 0 and now + hard_ms or 0
  redis.call('HSET', key, 'm', mode, 'f', digits(final), id,
    lines(digits(token), digits(hard_end), digits(now), session, owner, label))
  if last then
    redis.call('PERSIST', key)
  end
  announce(name)
  return token, final, hard_end
end

-- granting: how somebody becomes a holder, and what is left of a free lock.
-- Needs `keys`.
-- clock: server
-- include clock
local block = 32

-- The last token of a free lock is kept until the server's time is so far beyond it.
-- Without it tokens still grow, because they are never below that time in microseconds;
-- with it they do even when the time is set back by no more than this. A token that is
-- ahead of the time is kept for so much longer.
local kept_ms = 3600000
local function keep(key, last)
  redis.call('PEXPIREAT', key, digits(kept_ms + math.floor(last / 1000)))
end

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
    string.format('%.0f\n%.0f\n%.0f\n%s\n%s\n%s',
      token, hard_end, now, session, owner, label))
  if last then
    redis.call('PERSIST', key)
  end
  announce(name)
  return token, final, hard_end
end

-- reassert: holds that the server may have forgotten, told by who holds them. A hold is
-- taken up again with its own token if it came after all that the server knows of the
-- lock; what it knows of holders from before that is over then.
-- idempotent
-- KEYS  1 sessions
-- ARGV  1 session, then for each hold 1 name, 2 id, 3 mode (x | s | p), 4 token,
--       5 last token of its block, 6 hard ms left or 0, 7 ms since the grant, 8 owner,
--       9 label, 10 weight
-- returns {1 held | 0 lost, …} | {} the session is over
-- clock: server
-- include keys
-- include granting
-- include room
local session = ARGV[1]
if not is_alive(session) then
  return {}
end

local function end_older(key, name, but)
  local all = redis.call('HGETALL', key)
  for at = 1, #all, 2 do
    local is = fields(all[at + 1])
    if is[4] and all[at] ~= but then
      redis.call('HDEL', key, all[at])
      redis.call('SREM', claims(is[4]), lines(all[at], name))
      tell(is[4], 'lost', name, all[at])
    end
  end
  redis.call('HDEL', key, 'm', 'u', 'w')
end

-- Does the claim come after what the server knows? Readers have the token of the last
-- writer, and come after it; permits are held side by side.
local function is_news(mode, held, last, token, final)
  if mode == 's' then
    return last <= token, last < token or held == 'x'
  end
  return last < final, mode == 'x'
end

local function take_up(at)
  local name, id, mode = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local key, token, final = holds(name), ARGV[at + 3], ARGV[at + 4]
  local found = redis.call('HMGET', key, id, 'm', 'f')
  -- One that became the writer is told of again if it is known as a reader only.
  if found[1] and (mode ~= 'x' or found[2] == 'x') then
    return 1
  end
  local last = tonumber(found[3] or '0')
  local news, alone = is_news(mode, found[2], last, tonumber(token), tonumber(final))
  if not news then
    return 0
  end
  if mode == 'x' then
    token = digits(tonumber(final) - block + 1)
  end
  if alone then
    end_older(key, name, id)
  end
  redis.call('HDEL', waits, id)
  redis.call('ZREM', writers(name), id)
  redis.call('ZREM', readers(name), id)
  local hard_ms, since = tonumber(ARGV[at + 5]), now - tonumber(ARGV[at + 6])
  local record = lines(token, digits(hard_ms > 0 and now + hard_ms or 0),
    digits(since), session, ARGV[at + 7], ARGV[at + 8])
  if mode == 'p' then
    record = lines(record, ARGV[at + 9])
    redis.call('HINCRBY', key, 'w', ARGV[at + 9])
  end
  redis.call('HSET', key, 'm', mode, 'f', digits(math.max(last, tonumber(final))),
    id, record)
  redis.call('PERSIST', key)
  redis.call('SADD', claims(session), lines(id, name))
  redis.call('SADD', index, session)
  announce(name)
  return 1
end

local said = {}
for at = 2, #ARGV, 10 do
  said[#said + 1] = take_up(at)
end
return said

-- survey: which locks of the tag are held or awaited.
-- idempotent
-- KEYS  1 sessions        ARGV  1 at most so many claims
-- returns {name, id, session, 1 held | 0 awaited, …}
-- clock: server
-- include keys
-- include granting
-- include room
local found, most = {}, tonumber(ARGV[1]) * 4
for _, session in ipairs(redis.call('SMEMBERS', index)) do
  if is_alive(session) then
    for _, claim in ipairs(redis.call('SMEMBERS', claims(session))) do
      if #found >= most then
        return found
      end
      local id, name = string.match(claim, '^([^\n]*)\n(.*)$')
      found[#found + 1] = name
      found[#found + 1] = id
      found[#found + 1] = session
      found[#found + 1] = redis.call('HEXISTS', holds(name), id)
    end
  end
end
return found

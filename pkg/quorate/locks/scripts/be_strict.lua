-- be_strict: from now on no claim is granted within `ttl` after the server may have
-- lost some. It begins with such a time where nobody was strict before: what the server
-- knows may be all that is left of a former one.
-- idempotent
-- KEYS  1 sessions        ARGV  1 ttl in ms
-- returns until when nothing is granted, server ms, or 0
-- clock: server
-- include keys
-- include granting
-- include grace
local ttl, known = tonumber(ARGV[1]), redis.call('HMGET', base .. 'e', 'run', 'ttl')
if not known[1] then
  redis.call('HSET', base .. 'e', 'run', 'unknown', 'until', '0', 'ttl', digits(ttl))
elseif tonumber(known[2]) < ttl then
  redis.call('HSET', base .. 'e', 'ttl', digits(ttl))
end
return in_grace() or 0

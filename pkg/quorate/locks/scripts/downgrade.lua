#!lua flags=allow-oom
-- downgrade: make the writer a reader and let in the readers that wait, or take back
-- the wish to become the writer.
-- idempotent
-- KEYS  1 sessions        ARGV  1 name, 2 id of the hold
-- returns the token that it shares from now on, or 0 when it is not held
-- clock: server
-- include keys
-- include granting
-- include room
local name, id = ARGV[1], ARGV[2]
local key = holds(name)
local found = redis.call('HMGET', key, id, 'm', 'u', 'f')
if not found[1] then
  return 0
end
local is = fields(found[1])
if found[2] == 'x' then
  redis.call('HSET', key, 'm', 's', id,
    lines(found[4], is[2], is[3], is[4], is[5], is[6]))
  admit_readers(name)
  return tonumber(found[4])
end
if found[3] == id then
  redis.call('HDEL', key, 'u')
  settle(name, 's', nil)
end
return tonumber(is[1])

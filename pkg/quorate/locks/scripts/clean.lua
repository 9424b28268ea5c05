#!lua flags=allow-oom
-- clean: end the claims of a dead session, and make the next in line the holders.
-- idempotent
-- KEYS  1 sessions        ARGV  1 session, 2 at most so many claims
-- returns how many claims are left | -1 when the session lives
-- clock: server
-- include keys
-- include granting
-- include room
-- include holders
-- include permits
local session = ARGV[1]
if is_alive(session) then
  return -1
end
for _, claim in ipairs(redis.call('SRANDMEMBER', claims(session), ARGV[2])) do
  local id, name = string.match(claim, '^([^\n]*)\n(.*)$')
  local ended = string.sub(name, 1, 3) == '%02' and end_permits or end_claim
  if ended(name, id) == 'held' then
    tell(session, 'lost', name, id)
  end
  redis.call('SREM', claims(session), claim)
end
local left = redis.call('SCARD', claims(session))
if left == 0 then
  redis.call('SREM', index, session)
  redis.call('HDEL', base .. 'n', session)
end
return left

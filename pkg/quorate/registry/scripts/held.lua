-- held: what the registry has of a session; for its owner, to see that nothing is lost
-- and what others have decided about it.
-- idempotent
-- KEYS  1 sessions, 2 root of the registry        ARGV  1 session
-- returns {{service's name, id, incarnation, admin}, …}
-- include records
local rows = {}
for _, member in ipairs(redis.call('SMEMBERS', root .. 'of:' .. ARGV[1])) do
  local service, id = string.match(member, '^(.-)\n(.*)$')
  local holder, incarnation, _ = owner(service, id)
  if holder == ARGV[1] then
    rows[#rows + 1] = {redis.call('HGET', root .. 'services', service), id,
      incarnation, redis.call('HGET', key(service, 'admin'), id)}
  end
end
return rows

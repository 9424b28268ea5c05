-- services: which services have instances, and how many.
-- idempotent
-- KEYS  1 sessions, 2 root of the registry
-- returns {{name, instances, rev}, …}
-- include records
local flat, rows = redis.call('HGETALL', root .. 'services'), {}
for at = 1, #flat, 2 do
  local service = flat[at]
  rows[#rows + 1] = {flat[at + 1], redis.call('HLEN', key(service, 'inst')),
    revision_of(service)}
end
return rows

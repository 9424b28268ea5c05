-- register: an instance is there, and its session answers for it.
-- A claim without incarnation is a new one and wins over whoever has the id; one that
-- comes back with its old incarnation loses to a later one that lives.
-- idempotent
-- KEYS  1 sessions, 2 root of the registry
-- ARGV  1 session, 2 service, 3 its name, 4 id, 5 document, 6 incarnation or 0,
--       7 health, 8 why, 9 admin state, 10 why, 11 epoch if there is none yet,
--       12 most instances of a service, 13 most services
-- returns {'done' | 'same' | 'dead' | 'superseded' | 'full', epoch, rev, incarnation}
-- clock: server
-- include clock
-- include records
-- include notes
local session, service, id, document = ARGV[1], ARGV[2], ARGV[4], ARGV[5]
if not is_alive(session) then
  return {'dead', '', 0, 0}
end
redis.call('SET', root .. 'epoch', ARGV[11], 'NX')
local epoch = redis.call('GET', root .. 'epoch')
local incarnation = tonumber(ARGV[6])
local holder, held, _ = owner(service, id)
local admin = ARGV[9] .. ' ' .. ARGV[10]
if holder == session and (incarnation == 0 or incarnation == held) then
  if redis.call('HGET', key(service, 'inst'), id) == document then
    return {'same', epoch, revision_of(service), held}
  end
  incarnation = held
elseif holder and incarnation > 0 and held > incarnation and is_alive(holder) then
  return {'superseded', epoch, revision_of(service), held}
elseif not holder and redis.call('HLEN', key(service, 'inst')) >= tonumber(ARGV[12]) then
  return {'full', epoch, revision_of(service), 0}
elseif not holder and redis.call('HLEN', root .. 'services') >= tonumber(ARGV[13])
  and redis.call('HEXISTS', root .. 'services', service) == 0 then
  return {'full', epoch, revision_of(service), 0}
end
if incarnation == 0 then
  incarnation = math.max(held + 1, time[1] * 1000000 + time[2])
end
if holder and holder ~= session then
  forget(holder, service, id)
end
if holder and incarnation == held then
  admin = redis.call('HGET', key(service, 'admin'), id) or admin
end
redis.call('HSET', key(service, 'health'), id, ARGV[7] .. ' ' .. ARGV[8])
redis.call('HSET', key(service, 'inst'), id, document)
redis.call('HSET', key(service, 'admin'), id, admin)
redis.call('HDEL', key(service, 'suspect'), id)
redis.call('HSET', root .. 'services', service, ARGV[3])
redis.call('SADD', root .. 'of:' .. session, service .. '\n' .. id)
redis.call('SADD', root .. 'sessions', session)
local revision = note_state(service, 'up', id, session, incarnation)
redis.call('PERSIST', key(service, 'log'))
publish(service, revision)
return {'done', epoch, revision, incarnation}

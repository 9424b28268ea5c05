-- notes: a change of one instance becomes a revision, a log entry and a message. A
-- fragment; wants the fragment records. KEPT is how many entries a log keeps, about.
local KEPT = 1000
local LOG_OF_EMPTY_S = 3600
local function note(service, op, id, ...)
  local revision = redis.call('HINCRBY', root .. 'revs', service, 1)
  redis.call('XADD', key(service, 'log'), 'MAXLEN', '~', KEPT,
    whole(revision) .. '-0', 'op', op, 'id', id, ...)
  return revision
end
local function note_state(service, op, id, session, incarnation)
  local revision = revision_of(service) + 1
  local own = session .. ' ' .. whole(incarnation) .. ' ' .. whole(revision)
  redis.call('HSET', key(service, 'own'), id, own)
  note(service, op, id, 'own', own,
    'doc', redis.call('HGET', key(service, 'inst'), id),
    'health', redis.call('HGET', key(service, 'health'), id),
    'admin', redis.call('HGET', key(service, 'admin'), id),
    'suspect', redis.call('HEXISTS', key(service, 'suspect'), id))
  return revision
end
local function remove(service, id, session, why)
  for _, part in ipairs({'inst', 'own', 'health', 'admin', 'suspect'}) do
    redis.call('HDEL', key(service, part), id)
  end
  forget(session, service, id)
  local revision = note(service, 'gone', id, 'why', why)
  if redis.call('EXISTS', key(service, 'inst')) == 0 then
    redis.call('HDEL', root .. 'services', service)
    redis.call('EXPIRE', key(service, 'log'), LOG_OF_EMPTY_S)
  end
  return revision
end

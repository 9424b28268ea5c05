-- records: how one instance is written down. A fragment; wants KEYS[2] the registry's
-- root, under which all of its keys lie, and the fragment clock.
--   <root>s:<service>:inst    id → document        :own     id → session incarnation rev
--                    :health  id → state why       :admin   id → state why
--                    :suspect id → since until next probe
--                    :log     stream, entry id <revision>-0
--   <root>revs  service → revision      <root>services  service → its name as given
--   <root>of:<session>  what a session has      <root>sessions  who has anything
local root = KEYS[2]
local function whole(number)
  return string.format('%.0f', number)
end
local function key(service, part)
  return root .. 's:' .. service .. ':' .. part
end
local function owner(service, id)
  local own = redis.call('HGET', key(service, 'own'), id)
  if not own then
    return nil, 0, 0
  end
  local session, incarnation, revision = string.match(own, '^(%S+) (%d+) (%d+)$')
  return session, tonumber(incarnation), tonumber(revision)
end
local function revision_of(service)
  return tonumber(redis.call('HGET', root .. 'revs', service) or '0')
end
local function forget(session, service, id)
  local mine = root .. 'of:' .. session
  redis.call('SREM', mine, service .. '\n' .. id)
  if redis.call('EXISTS', mine) == 0 then
    redis.call('SREM', root .. 'sessions', session)
  end
end
local function publish(service, revision)
  local epoch = redis.call('GET', root .. 'epoch') or ''
  redis.call('PUBLISH', root .. 'news:' .. service, epoch .. ' ' .. whole(revision))
end

-- A task is not wanted any more. Returns a letter: c cancelled · r it runs, its worker is
-- told · d done · x dead · u not known. What is kept of it says why, if anything does.
local function call_off(base, id, now, keep, why)
  local owner = redis.call('HGET', base .. 'own', id)
  if owner then
    local process = string.match(owner, '^(.*)%.%d+|%d+|%d|%d$')
    redis.call('ZADD', base .. 'stop', now, id)
    if process then
      local mail = string.gsub(base, '^(%b{}:j:).*$', '%1to:')
      redis.call('PUBLISH', mail .. process, 'c' .. id)
    end
    return 'r'
  end
  if redis.call('HEXISTS', base .. 'err', id) == 1 then
    return 'x'
  end
  if redis.call('HEXISTS', base .. 'job', id) == 0 then
    local result = redis.call('HGET', base .. 'res', id)
    return result and string.sub(result, 1, 1) or 'u'
  end
  redis.call('HDEL', base .. 'job', id)
  if redis.call('ZREM', base .. 'due', '0:' .. id, '1:' .. id, '2:' .. id) == 0 then
    redis.call('HSET', base .. 'att', id, 'x')
  else
    redis.call('HDEL', base .. 'att', id)
  end
  redis.call('HSET', base .. 'res', id, 'c' .. why)
  redis.call('ZADD', base .. 'resx', now + keep, id)
  tell(base, redis.call('HGET', base .. 'cfg', 'waiting'), {id})
  return 'c'
end
